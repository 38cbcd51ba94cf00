"""CogVideoX. Files use the diffusers tree."""

from ..family import Family, encoders, tree

TABLE = """
patch_embed.proj                     =  hx16x2x2  bias
patch_embed.text_proj                =  hx4096    bias
time_embedding.linear_1              =  512xh     bias
time_embedding.linear_2              =  512x512   bias
transformer_blocks.N.norm1.linear    =  6hx512    bias N=0-last
transformer_blocks.N.attn1.to_q      =  hxh       bias N=0-last
transformer_blocks.N.attn1.to_k      =  hxh       bias N=0-last
transformer_blocks.N.attn1.to_v      =  hxh       bias N=0-last
transformer_blocks.N.attn1.to_out.0  =  hxh       bias N=0-last
transformer_blocks.N.norm2.linear    =  6hx512    bias N=0-last
transformer_blocks.N.ff.net.0.proj   =  4hxh      bias N=0-last
transformer_blocks.N.ff.net.2        =  hx4h      bias N=0-last
norm_out.linear                      =  2hx512    bias
proj_out                             =  64xh      bias
transformer_blocks.N.norm1.norm      =  norm      N=0-last
transformer_blocks.N.attn1.norm_q    =  norm      N=0-last
transformer_blocks.N.attn1.norm_k    =  norm      N=0-last
transformer_blocks.N.norm2.norm      =  norm      N=0-last
norm_final                           =  norm
norm_out.norm                        =  norm
"""

FAMILY = Family(
    id="cogvideox", title="CogVideoX",
    trees={"2b": tree("cogvideox", TABLE, {"h": 1920, "last": 29}),
           "5b": tree("cogvideox", TABLE, {"h": 3072, "last": 41})},
    encoders=encoders("""
t5-xxl  text_encoder  t5xxl  lora_te_ lora_te1_
"""),
)
