"""Krea 2. 48 query and 12 key/value heads of 128."""

from ..family import Family, encoders, tree

TREE = tree("krea2", """
first                                           img_in                                        6144x64     bias
blocks.N.attn.wq                                transformer_blocks.N.attn.to_q                6144x6144   N=0-27
blocks.N.attn.wk                                transformer_blocks.N.attn.to_k                1536x6144   N=0-27
blocks.N.attn.wv                                transformer_blocks.N.attn.to_v                1536x6144   N=0-27
blocks.N.attn.gate                              transformer_blocks.N.attn.to_gate             6144x6144   N=0-27
blocks.N.attn.wo                                transformer_blocks.N.attn.to_out.0            6144x6144   N=0-27
blocks.N.mlp.gate                               transformer_blocks.N.ff.gate                  16384x6144  N=0-27
blocks.N.mlp.up                                 transformer_blocks.N.ff.up                    16384x6144  N=0-27
blocks.N.mlp.down                               transformer_blocks.N.ff.down                  6144x16384  N=0-27
tmlp.0                                          time_embed.linear_1                           6144x256    bias
tmlp.2                                          time_embed.linear_2                           6144x6144   bias
txtfusion.layerwise_blocks.N.attn.wq            text_fusion.layerwise_blocks.N.attn.to_q      2560x2560   N=0-1
txtfusion.layerwise_blocks.N.attn.wk            text_fusion.layerwise_blocks.N.attn.to_k      2560x2560   N=0-1
txtfusion.layerwise_blocks.N.attn.wv            text_fusion.layerwise_blocks.N.attn.to_v      2560x2560   N=0-1
txtfusion.layerwise_blocks.N.attn.gate          text_fusion.layerwise_blocks.N.attn.to_gate   2560x2560   N=0-1
txtfusion.layerwise_blocks.N.attn.wo            text_fusion.layerwise_blocks.N.attn.to_out.0  2560x2560   N=0-1
txtfusion.layerwise_blocks.N.mlp.gate           text_fusion.layerwise_blocks.N.ff.gate        6912x2560   N=0-1
txtfusion.layerwise_blocks.N.mlp.up             text_fusion.layerwise_blocks.N.ff.up          6912x2560   N=0-1
txtfusion.layerwise_blocks.N.mlp.down           text_fusion.layerwise_blocks.N.ff.down        2560x6912   N=0-1
txtfusion.projector                             text_fusion.projector                         1x12
txtfusion.refiner_blocks.N.attn.wq              text_fusion.refiner_blocks.N.attn.to_q        2560x2560   N=0-1
txtfusion.refiner_blocks.N.attn.wk              text_fusion.refiner_blocks.N.attn.to_k        2560x2560   N=0-1
txtfusion.refiner_blocks.N.attn.wv              text_fusion.refiner_blocks.N.attn.to_v        2560x2560   N=0-1
txtfusion.refiner_blocks.N.attn.gate            text_fusion.refiner_blocks.N.attn.to_gate     2560x2560   N=0-1
txtfusion.refiner_blocks.N.attn.wo              text_fusion.refiner_blocks.N.attn.to_out.0    2560x2560   N=0-1
txtfusion.refiner_blocks.N.mlp.gate             text_fusion.refiner_blocks.N.ff.gate          6912x2560   N=0-1
txtfusion.refiner_blocks.N.mlp.up               text_fusion.refiner_blocks.N.ff.up            6912x2560   N=0-1
txtfusion.refiner_blocks.N.mlp.down             text_fusion.refiner_blocks.N.ff.down          2560x6912   N=0-1
txtmlp.1                                        txt_in.linear_1                               6144x2560   bias
txtmlp.3                                        txt_in.linear_2                               6144x6144   bias
last.linear                                     final_layer.linear                            64x6144     bias
tproj.1                                         time_mod_proj                                 36864x6144  bias
blocks.N.prenorm                                transformer_blocks.N.norm1                    norm        N=0-27
blocks.N.postnorm                               transformer_blocks.N.norm2                    norm        N=0-27
blocks.N.attn.qknorm.qnorm                      transformer_blocks.N.attn.norm_q              norm        N=0-27
blocks.N.attn.qknorm.knorm                      transformer_blocks.N.attn.norm_k              norm        N=0-27
txtfusion.layerwise_blocks.N.prenorm            text_fusion.layerwise_blocks.N.norm1          norm        N=0-1
txtfusion.layerwise_blocks.N.postnorm           text_fusion.layerwise_blocks.N.norm2          norm        N=0-1
txtfusion.layerwise_blocks.N.attn.qknorm.qnorm  text_fusion.layerwise_blocks.N.attn.norm_q    norm        N=0-1
txtfusion.layerwise_blocks.N.attn.qknorm.knorm  text_fusion.layerwise_blocks.N.attn.norm_k    norm        N=0-1
txtfusion.refiner_blocks.N.prenorm              text_fusion.refiner_blocks.N.norm1            norm        N=0-1
txtfusion.refiner_blocks.N.postnorm             text_fusion.refiner_blocks.N.norm2            norm        N=0-1
txtfusion.refiner_blocks.N.attn.qknorm.qnorm    text_fusion.refiner_blocks.N.attn.norm_q      norm        N=0-1
txtfusion.refiner_blocks.N.attn.qknorm.knorm    text_fusion.refiner_blocks.N.attn.norm_k      norm        N=0-1
txtmlp.0                                        txt_in.norm                                   norm
last.norm                                       final_layer.norm                              norm
""")

FAMILY = Family(
    id="krea2", title="Krea 2", trees={"": TREE},
    encoders=encoders("""
qwen3-vl-4b  text_encoder  qwen3vl_4b  lora_te_
"""),
)
