"""FLUX.2. No biases; linear1 is one module on both sides; klein has no guidance."""

from ..family import Family, Tree, changed, encoders, tree

TABLE = """
img_in  x_embedder  hx128
time_in.in_layer  time_guidance_embed.timestep_embedder.linear_1  hx256
time_in.out_layer  time_guidance_embed.timestep_embedder.linear_2  hxh
txt_in  context_embedder  hxwords
guidance_in.in_layer  time_guidance_embed.guidance_embedder.linear_1  hx256
guidance_in.out_layer  time_guidance_embed.guidance_embedder.linear_2  hxh
double_blocks.N.img_attn.qkv  transformer_blocks.N.attn.{to_q,to_k,to_v}  3hxh  N=0-double
double_blocks.N.img_attn.proj  transformer_blocks.N.attn.to_out.0  hxh  N=0-double
double_blocks.N.img_mlp.0  transformer_blocks.N.ff.linear_in  6hxh  N=0-double
double_blocks.N.img_mlp.2  transformer_blocks.N.ff.linear_out  hx3h  N=0-double
double_blocks.N.txt_attn.qkv  transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  3hxh  N=0-double
double_blocks.N.txt_attn.proj  transformer_blocks.N.attn.to_add_out  hxh  N=0-double
double_blocks.N.txt_mlp.0  transformer_blocks.N.ff_context.linear_in  6hxh  N=0-double
double_blocks.N.txt_mlp.2  transformer_blocks.N.ff_context.linear_out  hx3h  N=0-double
single_blocks.N.linear1  single_transformer_blocks.N.attn.to_qkv_mlp_proj  9hxh  N=0-single
single_blocks.N.linear2  single_transformer_blocks.N.attn.to_out  hx4h  N=0-single
double_stream_modulation_img.lin  double_stream_modulation_img.linear  6hxh
double_stream_modulation_txt.lin  double_stream_modulation_txt.linear  6hxh
single_stream_modulation.lin  single_stream_modulation.linear  3hxh
final_layer.linear  proj_out  128xh
final_layer.adaLN_modulation.1  norm_out.linear  2hxh  swap
double_blocks.N.img_attn.norm.query_norm  transformer_blocks.N.attn.norm_q  norm  N=0-double
double_blocks.N.img_attn.norm.key_norm  transformer_blocks.N.attn.norm_k  norm  N=0-double
double_blocks.N.txt_attn.norm.query_norm  transformer_blocks.N.attn.norm_added_q  norm  N=0-double
double_blocks.N.txt_attn.norm.key_norm  transformer_blocks.N.attn.norm_added_k  norm  N=0-double
single_blocks.N.norm.query_norm  single_transformer_blocks.N.attn.norm_q  norm  N=0-single
single_blocks.N.norm.key_norm  single_transformer_blocks.N.attn.norm_k  norm  N=0-single
"""


def _tree(width: int, double: int, single: int, words: int, guidance: bool = False) -> Tree:
    sizes = {"h": width, "double": double - 1, "single": single - 1, "words": words}
    whole = tree("flux2", TABLE, sizes)
    return whole if guidance else changed(whole, {"guidance_in.in_layer": None, "guidance_in.out_layer": None})


FAMILY = Family(
    id="flux2", title="FLUX.2",
    trees={"dev": _tree(6144, 8, 48, 15360, guidance=True), "klein-4b": _tree(3072, 5, 20, 7680),
           "klein-9b": _tree(4096, 8, 24, 12288)},
    encoders=encoders("""
mistral-3  text_encoder  mistral3_24b  lora_te_ only=dev
qwen3-4b   text_encoder  qwen3_4b      lora_te_ only=klein-4b
qwen3-8b   text_encoder  qwen3_8b      lora_te_ only=klein-9b
"""),
)
