"""OmniGen 2. The native tree is the only one: 21 query and 7 key/value heads of 120."""

from ..family import Family, encoders, tree

TREE = tree("omnigen2", """
x_embedder                                     =  2520x64     bias
ref_image_patch_embedder                       =  2520x64     bias
time_caption_embed.timestep_embedder.linear_1  =  1024x256    bias
time_caption_embed.timestep_embedder.linear_2  =  1024x1024   bias
time_caption_embed.caption_embedder.1          =  2520x2048   bias
noise_refiner.N.attn.to_q                      =  2520x2520   N=0-1
noise_refiner.N.attn.to_k                      =  840x2520    N=0-1
noise_refiner.N.attn.to_v                      =  840x2520    N=0-1
noise_refiner.N.attn.to_out.0                  =  2520x2520   N=0-1
noise_refiner.N.feed_forward.linear_1          =  10240x2520  N=0-1
noise_refiner.N.feed_forward.linear_2          =  2520x10240  N=0-1
noise_refiner.N.feed_forward.linear_3          =  10240x2520  N=0-1
noise_refiner.N.norm1.linear                   =  10080x1024  bias N=0-1
ref_image_refiner.N.attn.to_q                  =  2520x2520   N=0-1
ref_image_refiner.N.attn.to_k                  =  840x2520    N=0-1
ref_image_refiner.N.attn.to_v                  =  840x2520    N=0-1
ref_image_refiner.N.attn.to_out.0              =  2520x2520   N=0-1
ref_image_refiner.N.feed_forward.linear_1      =  10240x2520  N=0-1
ref_image_refiner.N.feed_forward.linear_2      =  2520x10240  N=0-1
ref_image_refiner.N.feed_forward.linear_3      =  10240x2520  N=0-1
ref_image_refiner.N.norm1.linear               =  10080x1024  bias N=0-1
context_refiner.N.attn.to_q                    =  2520x2520   N=0-1
context_refiner.N.attn.to_k                    =  840x2520    N=0-1
context_refiner.N.attn.to_v                    =  840x2520    N=0-1
context_refiner.N.attn.to_out.0                =  2520x2520   N=0-1
context_refiner.N.feed_forward.linear_1        =  10240x2520  N=0-1
context_refiner.N.feed_forward.linear_2        =  2520x10240  N=0-1
context_refiner.N.feed_forward.linear_3        =  10240x2520  N=0-1
layers.N.attn.to_q                             =  2520x2520   N=0-31
layers.N.attn.to_k                             =  840x2520    N=0-31
layers.N.attn.to_v                             =  840x2520    N=0-31
layers.N.attn.to_out.0                         =  2520x2520   N=0-31
layers.N.feed_forward.linear_1                 =  10240x2520  N=0-31
layers.N.feed_forward.linear_2                 =  2520x10240  N=0-31
layers.N.feed_forward.linear_3                 =  10240x2520  N=0-31
layers.N.norm1.linear                          =  10080x1024  bias N=0-31
norm_out.linear_1                              =  2520x1024   bias
norm_out.linear_2                              =  64x2520     bias
time_caption_embed.caption_embedder.0          =  norm
noise_refiner.N.attn.norm_q                    =  norm        N=0-1
noise_refiner.N.attn.norm_k                    =  norm        N=0-1
noise_refiner.N.norm1.norm                     =  norm        N=0-1
noise_refiner.N.ffn_norm1                      =  norm        N=0-1
noise_refiner.N.norm2                          =  norm        N=0-1
noise_refiner.N.ffn_norm2                      =  norm        N=0-1
ref_image_refiner.N.attn.norm_q                =  norm        N=0-1
ref_image_refiner.N.attn.norm_k                =  norm        N=0-1
ref_image_refiner.N.norm1.norm                 =  norm        N=0-1
ref_image_refiner.N.ffn_norm1                  =  norm        N=0-1
ref_image_refiner.N.norm2                      =  norm        N=0-1
ref_image_refiner.N.ffn_norm2                  =  norm        N=0-1
context_refiner.N.attn.norm_q                  =  norm        N=0-1
context_refiner.N.attn.norm_k                  =  norm        N=0-1
context_refiner.N.norm1                        =  norm        N=0-1
context_refiner.N.ffn_norm1                    =  norm        N=0-1
context_refiner.N.norm2                        =  norm        N=0-1
context_refiner.N.ffn_norm2                    =  norm        N=0-1
layers.N.attn.norm_q                           =  norm        N=0-31
layers.N.attn.norm_k                           =  norm        N=0-31
layers.N.norm1.norm                            =  norm        N=0-31
layers.N.ffn_norm1                             =  norm        N=0-31
layers.N.norm2                                 =  norm        N=0-31
layers.N.ffn_norm2                             =  norm        N=0-31
""")

FAMILY = Family(
    id="omnigen2", title="OmniGen 2", trees={"": TREE},
    encoders=encoders("""
qwen2.5-vl-3b  text_encoder  qwen25_3b  lora_te_
"""),
)
