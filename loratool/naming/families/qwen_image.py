"""Qwen-Image and Qwen-Image-Edit. Native names are those of diffusers."""

from ..family import Family, encoders, tree

TREE = tree("qwen-image", """
time_text_embed.timestep_embedder.linear_1  =  3072x256    bias
time_text_embed.timestep_embedder.linear_2  =  3072x3072   bias
img_in                                      =  3072x64     bias
txt_in                                      =  3072x3584   bias
transformer_blocks.N.img_mod.1              =  18432x3072  bias N=0-59
transformer_blocks.N.attn.to_q              =  3072x3072   bias N=0-59
transformer_blocks.N.attn.to_k              =  3072x3072   bias N=0-59
transformer_blocks.N.attn.to_v              =  3072x3072   bias N=0-59
transformer_blocks.N.attn.add_k_proj        =  3072x3072   bias N=0-59
transformer_blocks.N.attn.add_v_proj        =  3072x3072   bias N=0-59
transformer_blocks.N.attn.add_q_proj        =  3072x3072   bias N=0-59
transformer_blocks.N.attn.to_out.0          =  3072x3072   bias N=0-59
transformer_blocks.N.attn.to_add_out        =  3072x3072   bias N=0-59
transformer_blocks.N.img_mlp.net.0.proj     =  12288x3072  bias N=0-59
transformer_blocks.N.img_mlp.net.2          =  3072x12288  bias N=0-59
transformer_blocks.N.txt_mod.1              =  18432x3072  bias N=0-59
transformer_blocks.N.txt_mlp.net.0.proj     =  12288x3072  bias N=0-59
transformer_blocks.N.txt_mlp.net.2          =  3072x12288  bias N=0-59
norm_out.linear                             =  6144x3072   bias
proj_out                                    =  64x3072     bias
txt_norm                                    =  norm
transformer_blocks.N.attn.norm_q            =  norm        N=0-59
transformer_blocks.N.attn.norm_k            =  norm        N=0-59
transformer_blocks.N.attn.norm_added_q      =  norm        N=0-59
transformer_blocks.N.attn.norm_added_k      =  norm        N=0-59
""")

FAMILY = Family(
    id="qwen-image", title="Qwen-Image", trees={"": TREE},
    encoders=encoders("""
qwen2.5-vl-7b  text_encoder  qwen25_7b  lora_te_ lora_te1_
"""),
)
