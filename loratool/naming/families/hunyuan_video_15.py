"""HunyuanVideo 1.5: double blocks only, q, k and v split; ``time_r_in`` is in step-distilled models only."""

from ..family import Family, encoders, respelled, tree
from .hunyuan import COMFYUI

TREE = tree("hunyuan-video-1.5", """
byt5_in.fc1  context_embedder_2.linear_1  2048x1472  bias
byt5_in.fc2  context_embedder_2.linear_2  2048x2048  bias
byt5_in.fc3  context_embedder_2.linear_3  2048x2048  bias
img_in.proj  x_embedder.proj  2048x65x1x1x1  bias
vision_in.proj.1  image_embedder.linear_1  1152x1152  bias
vision_in.proj.3  image_embedder.linear_2  2048x1152  bias
txt_in.input_embedder  context_embedder.proj_in  2048x3584  bias
txt_in.t_embedder.mlp.0  context_embedder.time_text_embed.timestep_embedder.linear_1  2048x256  bias
txt_in.t_embedder.mlp.2  context_embedder.time_text_embed.timestep_embedder.linear_2  2048x2048  bias
txt_in.c_embedder.linear_1  context_embedder.time_text_embed.text_embedder.linear_1  2048x3584  bias
txt_in.c_embedder.linear_2  context_embedder.time_text_embed.text_embedder.linear_2  2048x2048  bias
txt_in.individual_token_refiner.blocks.N.self_attn_qkv  context_embedder.token_refiner.refiner_blocks.N.attn.{to_q,to_k,to_v}  6144x2048  bias N=0-1
txt_in.individual_token_refiner.blocks.N.self_attn_proj  context_embedder.token_refiner.refiner_blocks.N.attn.to_out.0  2048x2048  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc1  context_embedder.token_refiner.refiner_blocks.N.ff.net.0.proj  8192x2048  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc2  context_embedder.token_refiner.refiner_blocks.N.ff.net.2  2048x8192  bias N=0-1
txt_in.individual_token_refiner.blocks.N.adaLN_modulation.1  context_embedder.token_refiner.refiner_blocks.N.norm_out.linear  4096x2048  bias N=0-1
time_in.mlp.0  time_embed.timestep_embedder.linear_1  2048x256  bias
time_in.mlp.2  time_embed.timestep_embedder.linear_2  2048x2048  bias
double_blocks.N.img_mod.linear  transformer_blocks.N.norm1.linear  12288x2048  bias N=0-53
double_blocks.N.img_attn_q  transformer_blocks.N.attn.to_q  2048x2048  bias N=0-53
double_blocks.N.img_attn_k  transformer_blocks.N.attn.to_k  2048x2048  bias N=0-53
double_blocks.N.img_attn_v  transformer_blocks.N.attn.to_v  2048x2048  bias N=0-53
double_blocks.N.img_attn_proj  transformer_blocks.N.attn.to_out.0  2048x2048  bias N=0-53
double_blocks.N.img_mlp.fc1  transformer_blocks.N.ff.net.0.proj  8192x2048  bias N=0-53
double_blocks.N.img_mlp.fc2  transformer_blocks.N.ff.net.2  2048x8192  bias N=0-53
double_blocks.N.txt_mod.linear  transformer_blocks.N.norm1_context.linear  12288x2048  bias N=0-53
double_blocks.N.txt_attn_q  transformer_blocks.N.attn.add_q_proj  2048x2048  bias N=0-53
double_blocks.N.txt_attn_k  transformer_blocks.N.attn.add_k_proj  2048x2048  bias N=0-53
double_blocks.N.txt_attn_v  transformer_blocks.N.attn.add_v_proj  2048x2048  bias N=0-53
double_blocks.N.txt_attn_proj  transformer_blocks.N.attn.to_add_out  2048x2048  bias N=0-53
double_blocks.N.txt_mlp.fc1  transformer_blocks.N.ff_context.net.0.proj  8192x2048  bias N=0-53
double_blocks.N.txt_mlp.fc2  transformer_blocks.N.ff_context.net.2  2048x8192  bias N=0-53
final_layer.linear  proj_out  32x2048  bias
final_layer.adaLN_modulation.1  norm_out.linear  4096x2048  swap bias
byt5_in.layernorm  context_embedder_2.norm  norm
vision_in.proj.0  image_embedder.norm_in  norm
vision_in.proj.4  image_embedder.norm_out  norm
txt_in.individual_token_refiner.blocks.N.norm1  context_embedder.token_refiner.refiner_blocks.N.norm1  norm  N=0-1
txt_in.individual_token_refiner.blocks.N.norm2  context_embedder.token_refiner.refiner_blocks.N.norm2  norm  N=0-1
double_blocks.N.img_attn_q_norm  transformer_blocks.N.attn.norm_q  norm  N=0-53
double_blocks.N.img_attn_k_norm  transformer_blocks.N.attn.norm_k  norm  N=0-53
double_blocks.N.txt_attn_q_norm  transformer_blocks.N.attn.norm_added_q  norm  N=0-53
double_blocks.N.txt_attn_k_norm  transformer_blocks.N.attn.norm_added_k  norm  N=0-53
time_r_in.mlp.0  time_embed.timestep_embedder_r.linear_1  2048x256  bias
time_r_in.mlp.2  time_embed.timestep_embedder_r.linear_2  2048x2048  bias
""")

FAMILY = Family(
    id="hunyuan-video-1.5", title="HunyuanVideo 1.5", trees={"": respelled(TREE, "comfyui", COMFYUI)},
    encoders=encoders("""
qwen2.5-vl-7b  text_encoder    qwen25_7b   lora_te_ lora_te1_
byt5-small     text_encoder_2  byt5_small  lora_te2_
"""),
)
