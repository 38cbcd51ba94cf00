"""PixArt-Sigma. PixArt-alpha at 1024 pixels has the size embedders (``csize``, ``ar``) besides."""

from ..family import Family, encoders, tree

TREE = tree("pixart-sigma", """
t_block.1                      adaln_single.linear                              6912x1152   bias
x_embedder.proj                pos_embed.proj                                   1152x4x2x2  bias
t_embedder.mlp.0               adaln_single.emb.timestep_embedder.linear_1      1152x256    bias
t_embedder.mlp.2               adaln_single.emb.timestep_embedder.linear_2      1152x1152   bias
y_embedder.y_proj.fc1          caption_projection.linear_1                      1152x4096   bias
y_embedder.y_proj.fc2          caption_projection.linear_2                      1152x1152   bias
blocks.N.attn.qkv              transformer_blocks.N.attn1.{to_q,to_k,to_v}      3456x1152   bias N=0-27
blocks.N.attn.proj             transformer_blocks.N.attn1.to_out.0              1152x1152   bias N=0-27
blocks.N.cross_attn.q_linear   transformer_blocks.N.attn2.to_q                  1152x1152   bias N=0-27
blocks.N.cross_attn.kv_linear  transformer_blocks.N.attn2.{to_k,to_v}           2304x1152   bias N=0-27
blocks.N.cross_attn.proj       transformer_blocks.N.attn2.to_out.0              1152x1152   bias N=0-27
blocks.N.mlp.fc1               transformer_blocks.N.ff.net.0.proj               4608x1152   bias N=0-27
blocks.N.mlp.fc2               transformer_blocks.N.ff.net.2                    1152x4608   bias N=0-27
final_layer.linear             proj_out                                         32x1152     bias
csize_embedder.mlp.0           adaln_single.emb.resolution_embedder.linear_1    384x256     bias
csize_embedder.mlp.2           adaln_single.emb.resolution_embedder.linear_2    384x384     bias
ar_embedder.mlp.0              adaln_single.emb.aspect_ratio_embedder.linear_1  384x256     bias
ar_embedder.mlp.2              adaln_single.emb.aspect_ratio_embedder.linear_2  384x384     bias
""")

FAMILY = Family(
    id="pixart-sigma", title="PixArt-Sigma", trees={"": TREE},
    encoders=encoders("""
t5-xxl  text_encoder  t5xxl  lora_te1_ lora_te_
"""),
)
