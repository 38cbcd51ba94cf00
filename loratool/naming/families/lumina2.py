"""Lumina-Image 2.0. 24 query and 8 key/value heads of 96: the rows of qkv are not thirds."""

from ..family import Family, encoders, tree

TREE = tree("lumina2", """
t_embedder.mlp.0                    time_caption_embed.timestep_embedder.linear_1  1024x256   bias
t_embedder.mlp.2                    time_caption_embed.timestep_embedder.linear_2  1024x1024  bias
cap_embedder.1                      time_caption_embed.caption_embedder.1          2304x2304  bias
context_refiner.N.attention.qkv     context_refiner.N.attn.{to_q,to_k,to_v}        3840x2304  rows=2304+768+768 N=0-1
context_refiner.N.attention.out     context_refiner.N.attn.to_out.0                2304x2304  N=0-1
context_refiner.N.feed_forward.w1   context_refiner.N.feed_forward.linear_1        9216x2304  N=0-1
context_refiner.N.feed_forward.w2   context_refiner.N.feed_forward.linear_2        2304x9216  N=0-1
context_refiner.N.feed_forward.w3   context_refiner.N.feed_forward.linear_3        9216x2304  N=0-1
x_embedder                          =                                              2304x64    bias
noise_refiner.N.attention.qkv       noise_refiner.N.attn.{to_q,to_k,to_v}          3840x2304  rows=2304+768+768 N=0-1
noise_refiner.N.attention.out       noise_refiner.N.attn.to_out.0                  2304x2304  N=0-1
noise_refiner.N.feed_forward.w1     noise_refiner.N.feed_forward.linear_1          9216x2304  N=0-1
noise_refiner.N.feed_forward.w2     noise_refiner.N.feed_forward.linear_2          2304x9216  N=0-1
noise_refiner.N.feed_forward.w3     noise_refiner.N.feed_forward.linear_3          9216x2304  N=0-1
noise_refiner.N.adaLN_modulation.1  noise_refiner.N.norm1.linear                   9216x1024  bias N=0-1
layers.N.attention.qkv              layers.N.attn.{to_q,to_k,to_v}                 3840x2304  rows=2304+768+768 N=0-25
layers.N.attention.out              layers.N.attn.to_out.0                         2304x2304  N=0-25
layers.N.feed_forward.w1            layers.N.feed_forward.linear_1                 9216x2304  N=0-25
layers.N.feed_forward.w2            layers.N.feed_forward.linear_2                 2304x9216  N=0-25
layers.N.feed_forward.w3            layers.N.feed_forward.linear_3                 9216x2304  N=0-25
layers.N.adaLN_modulation.1         layers.N.norm1.linear                          9216x1024  bias N=0-25
final_layer.linear                  norm_out.linear_2                              64x2304    bias
final_layer.adaLN_modulation.1      norm_out.linear_1                              2304x1024  bias
cap_embedder.0                      time_caption_embed.caption_embedder.0          norm
context_refiner.N.attention.q_norm  context_refiner.N.attn.norm_q                  norm       N=0-1
context_refiner.N.attention.k_norm  context_refiner.N.attn.norm_k                  norm       N=0-1
context_refiner.N.attention_norm1   context_refiner.N.norm1                        norm       N=0-1
context_refiner.N.ffn_norm1         =                                              norm       N=0-1
context_refiner.N.attention_norm2   context_refiner.N.norm2                        norm       N=0-1
context_refiner.N.ffn_norm2         =                                              norm       N=0-1
noise_refiner.N.attention.q_norm    noise_refiner.N.attn.norm_q                    norm       N=0-1
noise_refiner.N.attention.k_norm    noise_refiner.N.attn.norm_k                    norm       N=0-1
noise_refiner.N.attention_norm1     noise_refiner.N.norm1.norm                     norm       N=0-1
noise_refiner.N.ffn_norm1           =                                              norm       N=0-1
noise_refiner.N.attention_norm2     noise_refiner.N.norm2                          norm       N=0-1
noise_refiner.N.ffn_norm2           =                                              norm       N=0-1
layers.N.attention.q_norm           layers.N.attn.norm_q                           norm       N=0-25
layers.N.attention.k_norm           layers.N.attn.norm_k                           norm       N=0-25
layers.N.attention_norm1            layers.N.norm1.norm                            norm       N=0-25
layers.N.ffn_norm1                  =                                              norm       N=0-25
layers.N.attention_norm2            layers.N.norm2                                 norm       N=0-25
layers.N.ffn_norm2                  =                                              norm       N=0-25
""")

FAMILY = Family(
    id="lumina2", title="Lumina 2", trees={"": TREE},
    encoders=encoders("""
gemma2-2b  text_encoder  gemma2_2b  lora_te_ lora_te1_
"""),
)
