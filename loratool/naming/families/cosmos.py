"""The denoiser that Cosmos-Predict 2 and Anima share. No biases; nothing is fused or swapped."""

from ..family import Tree, tree

TABLE = """
t_embedder.1.linear_1                   time_embed.t_embedder.linear_1       hxh
t_embedder.1.linear_2                   time_embed.t_embedder.linear_2       3hxh
x_embedder.proj.1                       patch_embed.proj                     hx68
blocks.N.self_attn.q_proj               transformer_blocks.N.attn1.to_q      hxh     N=0-last
blocks.N.self_attn.k_proj               transformer_blocks.N.attn1.to_k      hxh     N=0-last
blocks.N.self_attn.v_proj               transformer_blocks.N.attn1.to_v      hxh     N=0-last
blocks.N.self_attn.output_proj          transformer_blocks.N.attn1.to_out.0  hxh     N=0-last
blocks.N.cross_attn.q_proj              transformer_blocks.N.attn2.to_q      hxh     N=0-last
blocks.N.cross_attn.k_proj              transformer_blocks.N.attn2.to_k      hx1024  N=0-last
blocks.N.cross_attn.v_proj              transformer_blocks.N.attn2.to_v      hx1024  N=0-last
blocks.N.cross_attn.output_proj         transformer_blocks.N.attn2.to_out.0  hxh     N=0-last
blocks.N.mlp.layer1                     transformer_blocks.N.ff.net.0.proj   4hxh    N=0-last
blocks.N.mlp.layer2                     transformer_blocks.N.ff.net.2        hx4h    N=0-last
blocks.N.adaln_modulation_self_attn.1   transformer_blocks.N.norm1.linear_1  256xh   N=0-last
blocks.N.adaln_modulation_self_attn.2   transformer_blocks.N.norm1.linear_2  3hx256  N=0-last
blocks.N.adaln_modulation_cross_attn.1  transformer_blocks.N.norm2.linear_1  256xh   N=0-last
blocks.N.adaln_modulation_cross_attn.2  transformer_blocks.N.norm2.linear_2  3hx256  N=0-last
blocks.N.adaln_modulation_mlp.1         transformer_blocks.N.norm3.linear_1  256xh   N=0-last
blocks.N.adaln_modulation_mlp.2         transformer_blocks.N.norm3.linear_2  3hx256  N=0-last
final_layer.linear                      proj_out                             64xh
final_layer.adaln_modulation.1          norm_out.linear_1                    256xh
final_layer.adaln_modulation.2          norm_out.linear_2                    2hx256
blocks.N.self_attn.q_norm               transformer_blocks.N.attn1.norm_q    norm    N=0-last
blocks.N.self_attn.k_norm               transformer_blocks.N.attn1.norm_k    norm    N=0-last
blocks.N.cross_attn.q_norm              transformer_blocks.N.attn2.norm_q    norm    N=0-last
blocks.N.cross_attn.k_norm              transformer_blocks.N.attn2.norm_k    norm    N=0-last
t_embedding_norm                        time_embed.norm                      norm
"""


def cosmos(tree_id: str, width: int, blocks: int) -> Tree:
    return tree(tree_id, TABLE, {"h": width, "last": blocks - 1})
