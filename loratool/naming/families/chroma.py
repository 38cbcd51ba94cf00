"""Chroma: FLUX.1 without modulation and final adaLN, with a guidance network. Nothing is swapped."""

from ..family import Family, encoders, tree

TREE = tree("chroma", """
img_in  x_embedder  3072x64  bias
distilled_guidance_layer.in_proj  =  5120x64  bias
distilled_guidance_layer.layers.N.in_layer  distilled_guidance_layer.layers.N.linear_1  5120x5120  bias N=0-4
distilled_guidance_layer.layers.N.out_layer  distilled_guidance_layer.layers.N.linear_2  5120x5120  bias N=0-4
distilled_guidance_layer.out_proj  =  3072x5120  bias
txt_in  context_embedder  3072x4096  bias
double_blocks.N.img_attn.qkv  transformer_blocks.N.attn.{to_q,to_k,to_v}  9216x3072  bias N=0-18
double_blocks.N.img_attn.proj  transformer_blocks.N.attn.to_out.0  3072x3072  bias N=0-18
double_blocks.N.img_mlp.0  transformer_blocks.N.ff.net.0.proj  12288x3072  bias N=0-18
double_blocks.N.img_mlp.2  transformer_blocks.N.ff.net.2  3072x12288  bias N=0-18
double_blocks.N.txt_attn.qkv  transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  9216x3072  bias N=0-18
double_blocks.N.txt_attn.proj  transformer_blocks.N.attn.to_add_out  3072x3072  bias N=0-18
double_blocks.N.txt_mlp.0  transformer_blocks.N.ff_context.net.0.proj  12288x3072  bias N=0-18
double_blocks.N.txt_mlp.2  transformer_blocks.N.ff_context.net.2  3072x12288  bias N=0-18
single_blocks.N.linear1  single_transformer_blocks.N.{attn.to_q,attn.to_k,attn.to_v,proj_mlp}  21504x3072  rows=3072+3072+3072+12288 bias N=0-37
single_blocks.N.linear2  single_transformer_blocks.N.proj_out  3072x15360  bias N=0-37
final_layer.linear  proj_out  64x3072  bias
distilled_guidance_layer.norms.N  =  norm  N=0-4
double_blocks.N.img_attn.norm.query_norm  transformer_blocks.N.attn.norm_q  norm  N=0-18
double_blocks.N.img_attn.norm.key_norm  transformer_blocks.N.attn.norm_k  norm  N=0-18
double_blocks.N.txt_attn.norm.query_norm  transformer_blocks.N.attn.norm_added_q  norm  N=0-18
double_blocks.N.txt_attn.norm.key_norm  transformer_blocks.N.attn.norm_added_k  norm  N=0-18
single_blocks.N.norm.query_norm  single_transformer_blocks.N.attn.norm_q  norm  N=0-37
single_blocks.N.norm.key_norm  single_transformer_blocks.N.attn.norm_k  norm  N=0-37
""")

FAMILY = Family(
    id="chroma", title="Chroma", trees={"": TREE},
    encoders=encoders("""
t5-xxl  text_encoder  t5xxl  lora_te1_ lora_te3_ lora_te_
"""),
)
