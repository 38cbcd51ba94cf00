"""Sana 1600M. Its MLP is convolutional: 1x1, depthwise 3x3, 1x1."""

from ..family import Family, encoders, tree

TREE = tree("sana", """
x_embedder.proj                  patch_embed.proj                             2240x32x1x1     bias
t_embedder.mlp.0                 time_embed.emb.timestep_embedder.linear_1    2240x256        bias
t_embedder.mlp.2                 time_embed.emb.timestep_embedder.linear_2    2240x2240       bias
t_block.1                        time_embed.linear                            13440x2240      bias
y_embedder.y_proj.fc1            caption_projection.linear_1                  2240x2304       bias
y_embedder.y_proj.fc2            caption_projection.linear_2                  2240x2240       bias
blocks.N.attn.qkv                transformer_blocks.N.attn1.{to_q,to_k,to_v}  6720x2240       N=0-19
blocks.N.attn.proj               transformer_blocks.N.attn1.to_out.0          2240x2240       bias N=0-19
blocks.N.cross_attn.q_linear     transformer_blocks.N.attn2.to_q              2240x2240       bias N=0-19
blocks.N.cross_attn.kv_linear    transformer_blocks.N.attn2.{to_k,to_v}       4480x2240       bias N=0-19
blocks.N.cross_attn.proj         transformer_blocks.N.attn2.to_out.0          2240x2240       bias N=0-19
blocks.N.mlp.inverted_conv.conv  transformer_blocks.N.ff.conv_inverted        11200x2240x1x1  bias N=0-19
blocks.N.mlp.depth_conv.conv     transformer_blocks.N.ff.conv_depth           11200x1x3x3     bias N=0-19
blocks.N.mlp.point_conv.conv     transformer_blocks.N.ff.conv_point           2240x5600x1x1   N=0-19
final_layer.linear               proj_out                                     32x2240         bias
attention_y_norm                 caption_norm                                 norm
""")

FAMILY = Family(
    id="sana", title="Sana", trees={"": TREE},
    encoders=encoders("""
gemma2-2b  text_encoder  gemma2_2b  lora_te_ lora_te1_
"""),
)
