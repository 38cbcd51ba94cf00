"""FLUX.1. Native names are those of the Black Forest Labs checkpoints.

Source: the relation that diffusers' single-file loader applies, found by pushing marked rows
through it (314 native weights, 504 diffusers weights, every row once).
"""

from ..family import Family, changed, encoders, respelled, tree

TREE = tree("flux1", """
img_in                           x_embedder                                      3072x64        bias
time_in.in_layer                 time_text_embed.timestep_embedder.linear_1      3072x256       bias
time_in.out_layer                time_text_embed.timestep_embedder.linear_2      3072x3072      bias
vector_in.in_layer               time_text_embed.text_embedder.linear_1          3072x768       bias
vector_in.out_layer              time_text_embed.text_embedder.linear_2          3072x3072      bias
guidance_in.in_layer             time_text_embed.guidance_embedder.linear_1      3072x256       bias
guidance_in.out_layer            time_text_embed.guidance_embedder.linear_2      3072x3072      bias
txt_in                           context_embedder                                3072x4096      bias
double_blocks.N.img_mod.lin      transformer_blocks.N.norm1.linear               18432x3072     bias N=0-18
double_blocks.N.img_attn.qkv     transformer_blocks.N.attn.{to_q,to_k,to_v}      9216x3072      bias N=0-18
double_blocks.N.img_attn.proj    transformer_blocks.N.attn.to_out.0              3072x3072      bias N=0-18
double_blocks.N.img_mlp.0        transformer_blocks.N.ff.net.0.proj              12288x3072     bias N=0-18
double_blocks.N.img_mlp.2        transformer_blocks.N.ff.net.2                   3072x12288     bias N=0-18
double_blocks.N.txt_mod.lin      transformer_blocks.N.norm1_context.linear       18432x3072     bias N=0-18
double_blocks.N.txt_attn.qkv     transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  9216x3072  bias N=0-18
double_blocks.N.txt_attn.proj    transformer_blocks.N.attn.to_add_out            3072x3072      bias N=0-18
double_blocks.N.txt_mlp.0        transformer_blocks.N.ff_context.net.0.proj      12288x3072     bias N=0-18
double_blocks.N.txt_mlp.2        transformer_blocks.N.ff_context.net.2           3072x12288     bias N=0-18
single_blocks.N.linear1          single_transformer_blocks.N.{attn.to_q,attn.to_k,attn.to_v,proj_mlp}  21504x3072  rows=3072+3072+3072+12288 bias N=0-37
single_blocks.N.linear2          single_transformer_blocks.N.proj_out            3072x15360     bias N=0-37
single_blocks.N.modulation.lin   single_transformer_blocks.N.norm.linear         9216x3072      bias N=0-37
final_layer.linear               proj_out                                        64x3072        bias
final_layer.adaLN_modulation.1   norm_out.linear                                 6144x3072      swap bias
double_blocks.N.img_attn.norm.query_norm    transformer_blocks.N.attn.norm_q          norm   N=0-18
double_blocks.N.img_attn.norm.key_norm      transformer_blocks.N.attn.norm_k          norm   N=0-18
double_blocks.N.txt_attn.norm.query_norm    transformer_blocks.N.attn.norm_added_q    norm   N=0-18
double_blocks.N.txt_attn.norm.key_norm      transformer_blocks.N.attn.norm_added_k    norm   N=0-18
single_blocks.N.norm.query_norm             single_transformer_blocks.N.attn.norm_q   norm   N=0-37
single_blocks.N.norm.key_norm               single_transformer_blocks.N.attn.norm_k   norm   N=0-37
""")

XLABS = """
double_blocks.N.img_attn.qkv    double_blocks.N.processor.qkv_lora1
double_blocks.N.img_attn.proj   double_blocks.N.processor.proj_lora1
double_blocks.N.txt_attn.qkv    double_blocks.N.processor.qkv_lora2
double_blocks.N.txt_attn.proj   double_blocks.N.processor.proj_lora2
single_blocks.N.linear1         single_blocks.N.processor.qkv_lora[0:9216]
single_blocks.N.linear2         single_blocks.N.processor.proj_lora
"""
"""Names in the files of XLabs and USO: 1 is the image stream, 2 the text."""

ALSO = "single_blocks.N.linear1  single_blocks.N.linear1_qkv[0:9216]"

DEV = respelled(respelled(TREE, "xlabs", XLABS), "also", ALSO)
CONTROL = changed(DEV, {"img_in": (3072, 128)})

FAMILY = Family(
    id="flux1", title="FLUX.1",
    trees={"dev": DEV, "schnell": changed(DEV, {"guidance_in.in_layer": None, "guidance_in.out_layer": None}),
           "kontext": DEV, "krea": DEV, "fill": changed(DEV, {"img_in": (3072, 384)}),
           "canny": CONTROL, "depth": CONTROL},
    # sd-scripts numbers T5 as the third encoder, OneTrainer as the second.
    encoders=encoders("""
clip-l  text_encoder    clip_l  lora_te1_
t5-xxl  text_encoder_2  t5xxl   lora_te3_ lora_te2_
"""),
)
