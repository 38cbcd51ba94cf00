"""Stable Diffusion 3 and 3.5.

The last context block has only qkv and a modulation of two parts, stored with its halves swapped.
"""

from ..family import Family, Tree, encoders, tree

TABLE = """
x_embedder.proj  pos_embed.proj  hx16x2x2  bias
t_embedder.mlp.0  time_text_embed.timestep_embedder.linear_1  hx256  bias
t_embedder.mlp.2  time_text_embed.timestep_embedder.linear_2  hxh  bias
y_embedder.mlp.0  time_text_embed.text_embedder.linear_1  hx2048  bias
y_embedder.mlp.2  time_text_embed.text_embedder.linear_2  hxh  bias
context_embedder  =  hx4096  bias
joint_blocks.N.context_block.attn.qkv  transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  3hxh  bias N=0-last
joint_blocks.N.context_block.attn.proj  transformer_blocks.N.attn.to_add_out  hxh  bias N=0-before
joint_blocks.N.context_block.mlp.fc1  transformer_blocks.N.ff_context.net.0.proj  4hxh  bias N=0-before
joint_blocks.N.context_block.mlp.fc2  transformer_blocks.N.ff_context.net.2  hx4h  bias N=0-before
joint_blocks.N.context_block.adaLN_modulation.1  transformer_blocks.N.norm1_context.linear  6hxh  bias N=0-before
joint_blocks.N.x_block.attn.qkv  transformer_blocks.N.attn.{to_q,to_k,to_v}  3hxh  bias N=0-last
joint_blocks.N.x_block.attn.proj  transformer_blocks.N.attn.to_out.0  hxh  bias N=0-last
joint_blocks.N.x_block.mlp.fc1  transformer_blocks.N.ff.net.0.proj  4hxh  bias N=0-last
joint_blocks.N.x_block.mlp.fc2  transformer_blocks.N.ff.net.2  hx4h  bias N=0-last
joint_blocks.N.x_block.adaLN_modulation.1  transformer_blocks.N.norm1.linear  6hxh  bias N=0-last
joint_blocks.N.context_block.adaLN_modulation.1  transformer_blocks.N.norm1_context.linear  2hxh  swap bias N=last
final_layer.linear  proj_out  64xh  bias
final_layer.adaLN_modulation.1  norm_out.linear  2hxh  swap bias
joint_blocks.N.context_block.attn.ln_q  transformer_blocks.N.attn.norm_added_q  norm  N=0-last
joint_blocks.N.context_block.attn.ln_k  transformer_blocks.N.attn.norm_added_k  norm  N=0-last
joint_blocks.N.x_block.attn.ln_q  transformer_blocks.N.attn.norm_q  norm  N=0-last
joint_blocks.N.x_block.attn.ln_k  transformer_blocks.N.attn.norm_k  norm  N=0-last
"""
DUAL = """
joint_blocks.N.x_block.attn2.qkv           transformer_blocks.N.attn2.{to_q,to_k,to_v}  3hxh  bias N=0-12
joint_blocks.N.x_block.attn2.proj          transformer_blocks.N.attn2.to_out.0          hxh   bias N=0-12
joint_blocks.N.x_block.attn2.ln_q          transformer_blocks.N.attn2.norm_q            norm  N=0-12
joint_blocks.N.x_block.attn2.ln_k          transformer_blocks.N.attn2.norm_k            norm  N=0-12
joint_blocks.N.x_block.adaLN_modulation.1  transformer_blocks.N.norm1.linear            9hxh  bias N=0-12
"""
"""A second attention in the first 13 blocks, and the longer modulation that goes with it."""


def _tree(width: int, blocks: int, dual: str = "") -> Tree:
    sizes = {"h": width, "last": blocks - 1, "before": blocks - 2}
    return tree("sd3", TABLE + dual, sizes)


FAMILY = Family(
    id="sd3", title="Stable Diffusion 3",
    trees={"medium": _tree(1536, 24), "3.5-medium": _tree(1536, 24, DUAL), "3.5-large": _tree(2432, 38)},
    encoders=encoders("""
clip-l  text_encoder    clip_l  lora_te1_
clip-g  text_encoder_2  clip_g  lora_te2_
t5-xxl  text_encoder_3  t5xxl   lora_te3_
"""),
)
