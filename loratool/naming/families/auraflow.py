"""AuraFlow. In double layers w1 is the text stream and w2 the image; in single layers w1 is the only one."""

from ..family import Family, encoders, tree

TREE = tree("auraflow", """
t_embedder.mlp.0             time_step_proj.linear_1                               3072x256    bias
t_embedder.mlp.2             time_step_proj.linear_2                               3072x3072   bias
cond_seq_linear              context_embedder                                      3072x2048
init_x_linear                pos_embed.proj                                        3072x16     bias
double_layers.N.mlpC.c_fc1   joint_transformer_blocks.N.ff_context.linear_1        8192x3072   N=0-3
double_layers.N.mlpC.c_fc2   joint_transformer_blocks.N.ff_context.linear_2        8192x3072   N=0-3
double_layers.N.mlpC.c_proj  joint_transformer_blocks.N.ff_context.out_projection  3072x8192   N=0-3
double_layers.N.modC.1       joint_transformer_blocks.N.norm1_context.linear       18432x3072  N=0-3
double_layers.N.mlpX.c_fc1   joint_transformer_blocks.N.ff.linear_1                8192x3072   N=0-3
double_layers.N.mlpX.c_fc2   joint_transformer_blocks.N.ff.linear_2                8192x3072   N=0-3
double_layers.N.mlpX.c_proj  joint_transformer_blocks.N.ff.out_projection          3072x8192   N=0-3
double_layers.N.modX.1       joint_transformer_blocks.N.norm1.linear               18432x3072  N=0-3
double_layers.N.attn.w1q     joint_transformer_blocks.N.attn.add_q_proj            3072x3072   N=0-3
double_layers.N.attn.w1k     joint_transformer_blocks.N.attn.add_k_proj            3072x3072   N=0-3
double_layers.N.attn.w1v     joint_transformer_blocks.N.attn.add_v_proj            3072x3072   N=0-3
double_layers.N.attn.w1o     joint_transformer_blocks.N.attn.to_add_out            3072x3072   N=0-3
double_layers.N.attn.w2q     joint_transformer_blocks.N.attn.to_q                  3072x3072   N=0-3
double_layers.N.attn.w2k     joint_transformer_blocks.N.attn.to_k                  3072x3072   N=0-3
double_layers.N.attn.w2v     joint_transformer_blocks.N.attn.to_v                  3072x3072   N=0-3
double_layers.N.attn.w2o     joint_transformer_blocks.N.attn.to_out.0              3072x3072   N=0-3
single_layers.N.modCX.1      single_transformer_blocks.N.norm1.linear              18432x3072  N=0-31
single_layers.N.attn.w1q     single_transformer_blocks.N.attn.to_q                 3072x3072   N=0-31
single_layers.N.attn.w1k     single_transformer_blocks.N.attn.to_k                 3072x3072   N=0-31
single_layers.N.attn.w1v     single_transformer_blocks.N.attn.to_v                 3072x3072   N=0-31
single_layers.N.attn.w1o     single_transformer_blocks.N.attn.to_out.0             3072x3072   N=0-31
single_layers.N.mlp.c_fc1    single_transformer_blocks.N.ff.linear_1               8192x3072   N=0-31
single_layers.N.mlp.c_fc2    single_transformer_blocks.N.ff.linear_2               8192x3072   N=0-31
single_layers.N.mlp.c_proj   single_transformer_blocks.N.ff.out_projection         3072x8192   N=0-31
final_linear                 proj_out                                              16x3072
modF.1                       norm_out.linear                                       6144x3072   swap
""")

FAMILY = Family(
    id="auraflow", title="AuraFlow", trees={"": TREE},
    encoders=encoders("""
pile-t5-xl  text_encoder  pile_t5xl  lora_te_ lora_te1_
"""),
)
