"""FLUX.3. q, k and v are split on both sides; ``ref_time_in`` is in step-distilled models only."""

from ..family import Family, tree

TREE = tree("flux3", """
time_in.in_layer                                  timestep_embedder.linear_1                   3072x256
time_in.out_layer                                 timestep_embedder.linear_2                   3072x3072
early_stream_modulations.image.lin                early_stream_modulations.image.linear        9216x3072
early_stream_modulations.image_cond.lin           early_stream_modulations.image_cond.linear   9216x3072
early_stream_modulations.txt.lin                  early_stream_modulations.txt.linear          9216x3072
single_stream_modulations.image.lin               single_stream_modulations.image.linear       9216x3072
single_stream_modulations.image_cond.lin          single_stream_modulations.image_cond.linear  9216x3072
single_stream_modulations.txt.lin                 single_stream_modulations.txt.linear         9216x3072
emb_in.image                                      x_embedders.image                            3072x128
emb_in.image_cond                                 x_embedders.image_cond                       3072x128
txt_in                                            context_embedder                             3072x20480
content_mode_blocks.image.N.q_proj                mode_blocks.image.N.attn.to_q                3072x3072   N=0-4
content_mode_blocks.image.N.k_proj                mode_blocks.image.N.attn.to_k                3072x3072   N=0-4
content_mode_blocks.image.N.v_proj                mode_blocks.image.N.attn.to_v                3072x3072   N=0-4
content_mode_blocks.image.N.attn_out              mode_blocks.image.N.attn.to_out.0            3072x3072   N=0-4
content_mode_blocks.image.N.mlp_in                mode_blocks.image.N.ff.linear_in             18432x3072  N=0-4
content_mode_blocks.image.N.mlp_out               mode_blocks.image.N.ff.linear_out            3072x9216   N=0-4
content_mode_blocks.image_cond.N.q_proj           mode_blocks.image_cond.N.attn.to_q           3072x3072   N=0-4
content_mode_blocks.image_cond.N.k_proj           mode_blocks.image_cond.N.attn.to_k           3072x3072   N=0-4
content_mode_blocks.image_cond.N.v_proj           mode_blocks.image_cond.N.attn.to_v           3072x3072   N=0-4
content_mode_blocks.image_cond.N.attn_out         mode_blocks.image_cond.N.attn.to_out.0       3072x3072   N=0-4
content_mode_blocks.image_cond.N.mlp_in           mode_blocks.image_cond.N.ff.linear_in        18432x3072  N=0-4
content_mode_blocks.image_cond.N.mlp_out          mode_blocks.image_cond.N.ff.linear_out       3072x9216   N=0-4
txt_mode_blocks.N.q_proj                          txt_mode_blocks.N.attn.to_q                  3072x3072   N=0-4
txt_mode_blocks.N.k_proj                          txt_mode_blocks.N.attn.to_k                  3072x3072   N=0-4
txt_mode_blocks.N.v_proj                          txt_mode_blocks.N.attn.to_v                  3072x3072   N=0-4
txt_mode_blocks.N.attn_out                        txt_mode_blocks.N.attn.to_out.0              3072x3072   N=0-4
txt_mode_blocks.N.mlp_in                          txt_mode_blocks.N.ff.linear_in               18432x3072  N=0-4
txt_mode_blocks.N.mlp_out                         txt_mode_blocks.N.ff.linear_out              3072x9216   N=0-4
single_blocks.N.q_proj                            single_transformer_blocks.N.attn.to_q        3072x3072   N=0-27
single_blocks.N.k_proj                            single_transformer_blocks.N.attn.to_k        3072x3072   N=0-27
single_blocks.N.v_proj                            single_transformer_blocks.N.attn.to_v        3072x3072   N=0-27
single_blocks.N.attn_out                          single_transformer_blocks.N.attn.to_out.0    3072x3072   N=0-27
single_blocks.N.mlp_in                            single_transformer_blocks.N.ff.linear_in     18432x3072  N=0-27
single_blocks.N.mlp_out                           single_transformer_blocks.N.ff.linear_out    3072x9216   N=0-27
final_layer.image.adaLN_modulation.1              norm_out.linear                              6144x3072   swap
final_layer.image.linear                          proj_out                                     128x3072
content_mode_blocks.image.N.norm.query_norm       mode_blocks.image.N.attn.norm_q              norm        N=0-4
content_mode_blocks.image.N.norm.key_norm         mode_blocks.image.N.attn.norm_k              norm        N=0-4
content_mode_blocks.image_cond.N.norm.query_norm  mode_blocks.image_cond.N.attn.norm_q         norm        N=0-4
content_mode_blocks.image_cond.N.norm.key_norm    mode_blocks.image_cond.N.attn.norm_k         norm        N=0-4
txt_mode_blocks.N.norm.query_norm                 txt_mode_blocks.N.attn.norm_q                norm        N=0-4
txt_mode_blocks.N.norm.key_norm                   txt_mode_blocks.N.attn.norm_k                norm        N=0-4
single_blocks.N.norm.query_norm                   single_transformer_blocks.N.attn.norm_q      norm        N=0-27
single_blocks.N.norm.key_norm                     single_transformer_blocks.N.attn.norm_k      norm        N=0-27
ref_time_in.in_layer                              target_timestep_embedder.linear_1            3072x256
ref_time_in.out_layer                             target_timestep_embedder.linear_2            3072x3072
""")

FAMILY = Family(
    id="flux3", title="FLUX.3", trees={"": TREE},
)
