"""FramePack: HunyuanVideo in diffusers names, with an image projection and clean-latent embedders."""

from ..family import Family, encoders, tree

TREE = tree("framepack", """
x_embedder.proj                                                  =  3072x16x1x2x2  bias
context_embedder.time_text_embed.timestep_embedder.linear_1      =  3072x256       bias
context_embedder.time_text_embed.timestep_embedder.linear_2      =  3072x3072      bias
context_embedder.time_text_embed.text_embedder.linear_1          =  3072x4096      bias
context_embedder.time_text_embed.text_embedder.linear_2          =  3072x3072      bias
context_embedder.proj_in                                         =  3072x4096      bias
context_embedder.token_refiner.refiner_blocks.N.attn.to_q        =  3072x3072      bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.attn.to_k        =  3072x3072      bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.attn.to_v        =  3072x3072      bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.attn.to_out.0    =  3072x3072      bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.ff.net.0.proj    =  12288x3072     bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.ff.net.2         =  3072x12288     bias N=0-1
context_embedder.token_refiner.refiner_blocks.N.norm_out.linear  =  6144x3072      bias N=0-1
time_text_embed.timestep_embedder.linear_1                       =  3072x256       bias
time_text_embed.timestep_embedder.linear_2                       =  3072x3072      bias
time_text_embed.guidance_embedder.linear_1                       =  3072x256       bias
time_text_embed.guidance_embedder.linear_2                       =  3072x3072      bias
time_text_embed.text_embedder.linear_1                           =  3072x768       bias
time_text_embed.text_embedder.linear_2                           =  3072x3072      bias
transformer_blocks.N.norm1.linear                                =  18432x3072     bias N=0-19
transformer_blocks.N.norm1_context.linear                        =  18432x3072     bias N=0-19
transformer_blocks.N.attn.to_q                                   =  3072x3072      bias N=0-19
transformer_blocks.N.attn.to_k                                   =  3072x3072      bias N=0-19
transformer_blocks.N.attn.to_v                                   =  3072x3072      bias N=0-19
transformer_blocks.N.attn.add_k_proj                             =  3072x3072      bias N=0-19
transformer_blocks.N.attn.add_v_proj                             =  3072x3072      bias N=0-19
transformer_blocks.N.attn.add_q_proj                             =  3072x3072      bias N=0-19
transformer_blocks.N.attn.to_out.0                               =  3072x3072      bias N=0-19
transformer_blocks.N.attn.to_add_out                             =  3072x3072      bias N=0-19
transformer_blocks.N.ff.net.0.proj                               =  12288x3072     bias N=0-19
transformer_blocks.N.ff.net.2                                    =  3072x12288     bias N=0-19
transformer_blocks.N.ff_context.net.0.proj                       =  12288x3072     bias N=0-19
transformer_blocks.N.ff_context.net.2                            =  3072x12288     bias N=0-19
single_transformer_blocks.N.attn.to_q                            =  3072x3072      bias N=0-39
single_transformer_blocks.N.attn.to_k                            =  3072x3072      bias N=0-39
single_transformer_blocks.N.attn.to_v                            =  3072x3072      bias N=0-39
single_transformer_blocks.N.norm.linear                          =  9216x3072      bias N=0-39
single_transformer_blocks.N.proj_mlp                             =  12288x3072     bias N=0-39
single_transformer_blocks.N.proj_out                             =  3072x15360     bias N=0-39
norm_out.linear                                                  =  6144x3072      bias
proj_out                                                         =  64x3072        bias
image_projection.up                                              =  9216x1152      bias
image_projection.down                                            =  3072x9216      bias
clean_x_embedder.proj                                            =  3072x16x1x2x2  bias
clean_x_embedder.proj_2x                                         =  3072x16x2x4x4  bias
clean_x_embedder.proj_4x                                         =  3072x16x4x8x8  bias
context_embedder.token_refiner.refiner_blocks.N.norm1            =  norm           N=0-1
context_embedder.token_refiner.refiner_blocks.N.norm2            =  norm           N=0-1
transformer_blocks.N.attn.norm_q                                 =  norm           N=0-19
transformer_blocks.N.attn.norm_k                                 =  norm           N=0-19
transformer_blocks.N.attn.norm_added_q                           =  norm           N=0-19
transformer_blocks.N.attn.norm_added_k                           =  norm           N=0-19
single_transformer_blocks.N.attn.norm_q                          =  norm           N=0-39
single_transformer_blocks.N.attn.norm_k                          =  norm           N=0-39
""")

FAMILY = Family(
    id="framepack", title="FramePack", trees={"": TREE},
    encoders=encoders("""
llama-3-8b  text_encoder    llama   lora_te1_ lora_te_
clip-l      text_encoder_2  clip_l  lora_te2_
"""),
)
