"""ERNIE-Image, in the sizes of the class; native names are those of diffusers."""

from ..family import Family, tree

TREE = tree("ernie-image", """
x_embedder.proj                   =  3072x128x1x1  bias
text_proj                         =  3072x2560
time_embedding.linear_1           =  3072x3072     bias
time_embedding.linear_2           =  3072x3072     bias
adaLN_modulation.1                =  18432x3072    bias
layers.N.self_attention.to_q      =  3072x3072     N=0-23
layers.N.self_attention.to_k      =  3072x3072     N=0-23
layers.N.self_attention.to_v      =  3072x3072     N=0-23
layers.N.self_attention.to_out.0  =  3072x3072     N=0-23
layers.N.mlp.gate_proj            =  8192x3072     N=0-23
layers.N.mlp.up_proj              =  8192x3072     N=0-23
layers.N.mlp.linear_fc2           =  3072x8192     N=0-23
final_norm.linear                 =  6144x3072     bias
final_linear                      =  128x3072      bias
layers.N.adaLN_sa_ln              =  norm          N=0-23
layers.N.self_attention.norm_q    =  norm          N=0-23
layers.N.self_attention.norm_k    =  norm          N=0-23
layers.N.adaLN_mlp_ln             =  norm          N=0-23
""")

FAMILY = Family(
    id="ernie-image", title="ERNIE-Image", trees={"": TREE},
)
