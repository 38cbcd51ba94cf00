"""Ideogram 4. Its two transformers have one tree."""

from ..family import Family, encoders, tree

TREE = tree("ideogram4", """
input_proj                    =                                    4608x128    bias
llm_cond_proj                 =                                    4608x53248  bias
t_embedding.mlp_in            =                                    4608x4608   bias
t_embedding.mlp_out           =                                    4608x4608   bias
adaln_proj                    =                                    512x4608    bias
layers.N.attention.qkv        layers.N.attention.{to_q,to_k,to_v}  13824x4608  N=0-33
layers.N.attention.o          layers.N.attention.to_out.0          4608x4608   N=0-33
layers.N.feed_forward.w1      =                                    12288x4608  N=0-33
layers.N.feed_forward.w2      =                                    4608x12288  N=0-33
layers.N.feed_forward.w3      =                                    12288x4608  N=0-33
layers.N.adaln_modulation     =                                    18432x512   bias N=0-33
final_layer.linear            =                                    128x4608    bias
final_layer.adaln_modulation  =                                    4608x512    bias
llm_cond_norm                 =                                    norm
layers.N.attention.norm_q     =                                    norm        N=0-33
layers.N.attention.norm_k     =                                    norm        N=0-33
layers.N.attention_norm1      =                                    norm        N=0-33
layers.N.ffn_norm1            =                                    norm        N=0-33
layers.N.attention_norm2      =                                    norm        N=0-33
layers.N.ffn_norm2            =                                    norm        N=0-33
""")

FAMILY = Family(
    id="ideogram4", title="Ideogram 4", trees={"": TREE},
    encoders=encoders("""
qwen3-vl-8b  text_encoder  qwen3vl_8b  lora_te_
"""),
)
