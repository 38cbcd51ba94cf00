"""CogView 4. Files use the diffusers tree."""

from ..family import Family, encoders, tree

TREE = tree("cogview4", """
patch_embed.proj                                  =  2560x64     bias
patch_embed.text_proj                             =  2560x4096   bias
time_condition_embed.timestep_embedder.linear_1   =  512x2560    bias
time_condition_embed.timestep_embedder.linear_2   =  512x512     bias
time_condition_embed.condition_embedder.linear_1  =  512x1536    bias
time_condition_embed.condition_embedder.linear_2  =  512x512     bias
transformer_blocks.N.norm1.linear                 =  30720x512   bias N=0-29
transformer_blocks.N.attn1.to_q                   =  2560x2560   bias N=0-29
transformer_blocks.N.attn1.to_k                   =  2560x2560   bias N=0-29
transformer_blocks.N.attn1.to_v                   =  2560x2560   bias N=0-29
transformer_blocks.N.attn1.to_out.0               =  2560x2560   bias N=0-29
transformer_blocks.N.ff.net.0.proj                =  10240x2560  bias N=0-29
transformer_blocks.N.ff.net.2                     =  2560x10240  bias N=0-29
norm_out.linear                                   =  5120x512    bias
proj_out                                          =  64x2560     bias
""")

FAMILY = Family(
    id="cogview4", title="CogView 4", trees={"": TREE},
    encoders=encoders("""
glm-4-9b  text_encoder  glm4_9b  lora_te_
"""),
)
