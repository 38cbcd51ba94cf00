"""Mochi 1. Both gated ``w1`` and the final modulation have their halves swapped; the last block has no text MLP."""

from ..family import Family, encoders, tree

TREE = tree("mochi", """
x_embedder.proj         patch_embed.proj                                               3072x12x2x2  bias
t_embedder.mlp.0        time_embed.timestep_embedder.linear_1                          3072x256     bias
t_embedder.mlp.2        time_embed.timestep_embedder.linear_2                          3072x3072    bias
t5_y_embedder.to_kv     time_embed.pooler.to_kv                                        8192x4096    bias
t5_y_embedder.to_q      time_embed.pooler.to_q                                         4096x4096    bias
t5_y_embedder.to_out    time_embed.pooler.to_out                                       3072x4096    bias
t5_yproj                time_embed.caption_proj                                        1536x4096    bias
blocks.N.mod_x          transformer_blocks.N.norm1.linear                              12288x3072   bias N=0-47
blocks.N.mod_y          transformer_blocks.N.norm1_context.linear                      6144x3072    bias N=0-46
blocks.N.attn.qkv_x     transformer_blocks.N.attn1.{to_q,to_k,to_v}                    9216x3072    N=0-47
blocks.N.attn.qkv_y     transformer_blocks.N.attn1.{add_q_proj,add_k_proj,add_v_proj}  9216x1536    N=0-47
blocks.N.attn.proj_x    transformer_blocks.N.attn1.to_out.0                            3072x3072    bias N=0-47
blocks.N.attn.proj_y    transformer_blocks.N.attn1.to_add_out                          1536x3072    bias N=0-46
blocks.N.mlp_x.w1       transformer_blocks.N.ff.net.0.proj                             16384x3072   swap N=0-47
blocks.N.mlp_x.w2       transformer_blocks.N.ff.net.2                                  3072x8192    N=0-47
blocks.N.mlp_y.w1       transformer_blocks.N.ff_context.net.0.proj                     8192x1536    swap N=0-46
blocks.N.mlp_y.w2       transformer_blocks.N.ff_context.net.2                          1536x4096    N=0-46
blocks.N.mod_y          transformer_blocks.N.norm1_context.linear_1                    1536x3072    bias N=47
final_layer.mod         norm_out.linear                                                6144x3072    swap bias
final_layer.linear      proj_out                                                       48x3072      bias
blocks.N.attn.q_norm_x  transformer_blocks.N.attn1.norm_q                              norm         N=0-47
blocks.N.attn.k_norm_x  transformer_blocks.N.attn1.norm_k                              norm         N=0-47
blocks.N.attn.q_norm_y  transformer_blocks.N.attn1.norm_added_q                        norm         N=0-47
blocks.N.attn.k_norm_y  transformer_blocks.N.attn1.norm_added_k                        norm         N=0-47
""")

FAMILY = Family(
    id="mochi", title="Mochi 1", trees={"": TREE},
    encoders=encoders("""
t5-xxl  text_encoder  t5xxl  lora_te_ lora_te1_
"""),
)
