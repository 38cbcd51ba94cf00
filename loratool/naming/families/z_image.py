"""Z-Image. Native names are those of ComfyUI checkpoints; trainers write the diffusers names."""

from ..family import Family, encoders, tree

TREE = tree("z-image", """
x_embedder                          all_x_embedder.2-1                            3840x64     bias
final_layer.linear                  all_final_layer.2-1.linear                    64x3840     bias
final_layer.adaLN_modulation.1      all_final_layer.2-1.adaLN_modulation.1        3840x256    bias
noise_refiner.N.attention.qkv       noise_refiner.N.attention.{to_q,to_k,to_v}    11520x3840  N=0-1
noise_refiner.N.attention.out       noise_refiner.N.attention.to_out.0            3840x3840   N=0-1
noise_refiner.N.feed_forward.w1     =                                             10240x3840  N=0-1
noise_refiner.N.feed_forward.w2     =                                             3840x10240  N=0-1
noise_refiner.N.feed_forward.w3     =                                             10240x3840  N=0-1
noise_refiner.N.adaLN_modulation.0  =                                             15360x256   bias N=0-1
context_refiner.N.attention.qkv     context_refiner.N.attention.{to_q,to_k,to_v}  11520x3840  N=0-1
context_refiner.N.attention.out     context_refiner.N.attention.to_out.0          3840x3840   N=0-1
context_refiner.N.feed_forward.w1   =                                             10240x3840  N=0-1
context_refiner.N.feed_forward.w2   =                                             3840x10240  N=0-1
context_refiner.N.feed_forward.w3   =                                             10240x3840  N=0-1
t_embedder.mlp.0                    =                                             1024x256    bias
t_embedder.mlp.2                    =                                             256x1024    bias
cap_embedder.1                      =                                             3840x2560   bias
layers.N.attention.qkv              layers.N.attention.{to_q,to_k,to_v}           11520x3840  N=0-29
layers.N.attention.out              layers.N.attention.to_out.0                   3840x3840   N=0-29
layers.N.feed_forward.w1            =                                             10240x3840  N=0-29
layers.N.feed_forward.w2            =                                             3840x10240  N=0-29
layers.N.feed_forward.w3            =                                             10240x3840  N=0-29
layers.N.adaLN_modulation.0         =                                             15360x256   bias N=0-29
noise_refiner.N.attention.q_norm    noise_refiner.N.attention.norm_q              norm        N=0-1
noise_refiner.N.attention.k_norm    noise_refiner.N.attention.norm_k              norm        N=0-1
noise_refiner.N.attention_norm1     =                                             norm        N=0-1
noise_refiner.N.ffn_norm1           =                                             norm        N=0-1
noise_refiner.N.attention_norm2     =                                             norm        N=0-1
noise_refiner.N.ffn_norm2           =                                             norm        N=0-1
context_refiner.N.attention.q_norm  context_refiner.N.attention.norm_q            norm        N=0-1
context_refiner.N.attention.k_norm  context_refiner.N.attention.norm_k            norm        N=0-1
context_refiner.N.attention_norm1   =                                             norm        N=0-1
context_refiner.N.ffn_norm1         =                                             norm        N=0-1
context_refiner.N.attention_norm2   =                                             norm        N=0-1
context_refiner.N.ffn_norm2         =                                             norm        N=0-1
cap_embedder.0                      =                                             norm
layers.N.attention.q_norm           layers.N.attention.norm_q                     norm        N=0-29
layers.N.attention.k_norm           layers.N.attention.norm_k                     norm        N=0-29
layers.N.attention_norm1            =                                             norm        N=0-29
layers.N.ffn_norm1                  =                                             norm        N=0-29
layers.N.attention_norm2            =                                             norm        N=0-29
layers.N.ffn_norm2                  =                                             norm        N=0-29
""")

FAMILY = Family(
    id="z-image", title="Z-Image", trees={"": TREE},
    kohya_spelling="diffusers",
    encoders=encoders("""
qwen3-4b  text_encoder  qwen3_4b  lora_te_ lora_te1_
"""),
)
