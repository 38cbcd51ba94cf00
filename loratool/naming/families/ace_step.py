"""ACE-Step. Versions 1 and 1.5 are two networks."""

from ..family import Family, tree

V1 = tree("ace-step", """
transformer_blocks.N.attn.to_q                 =  2560x2560      bias N=0-23
transformer_blocks.N.attn.to_k                 =  2560x2560      bias N=0-23
transformer_blocks.N.attn.to_v                 =  2560x2560      bias N=0-23
transformer_blocks.N.attn.to_out.0             =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.to_q           =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.to_k           =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.to_v           =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.add_k_proj     =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.add_v_proj     =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.add_q_proj     =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.to_out.0       =  2560x2560      bias N=0-23
transformer_blocks.N.cross_attn.to_add_out     =  2560x2560      bias N=0-23
transformer_blocks.N.ff.inverted_conv.conv     =  12800x2560x1   bias N=0-23
transformer_blocks.N.ff.depth_conv.conv        =  12800x1x3      bias N=0-23
transformer_blocks.N.ff.point_conv.conv        =  2560x6400x1    N=0-23
timestep_embedder.linear_1                     =  2560x256       bias
timestep_embedder.linear_2                     =  2560x2560      bias
t_block.1                                      =  15360x2560     bias
speaker_embedder                               =  2560x512       bias
lyric_encoder.embed.out.0                      =  1024x1024      bias
lyric_encoder.encoders.N.self_attn.linear_q    =  1024x1024      bias N=0-5
lyric_encoder.encoders.N.self_attn.linear_k    =  1024x1024      bias N=0-5
lyric_encoder.encoders.N.self_attn.linear_v    =  1024x1024      bias N=0-5
lyric_encoder.encoders.N.self_attn.linear_out  =  1024x1024      bias N=0-5
lyric_encoder.encoders.N.self_attn.linear_pos  =  1024x1024      N=0-5
lyric_encoder.encoders.N.feed_forward.w_1      =  4096x1024      bias N=0-5
lyric_encoder.encoders.N.feed_forward.w_2      =  1024x4096      bias N=0-5
lyric_proj                                     =  2560x1024      bias
projectors.N.0                                 =  5120x2560      bias N=0-1
projectors.N.2                                 =  5120x5120      bias N=0-1
projectors.N.4                                 =  1024x5120      bias N=0
projectors.N.4                                 =  768x5120       bias N=1
proj_in.early_conv_layers.0                    =  2048x8x16x1    bias
proj_in.early_conv_layers.2                    =  2560x2048x1x1  bias
final_layer.linear                             =  128x2560       bias
lyric_encoder.embed.out.1                      =  norm
lyric_encoder.after_norm                       =  norm
lyric_encoder.encoders.N.norm_ff               =  norm           N=0-5
lyric_encoder.encoders.N.norm_mha              =  norm           N=0-5
proj_in.early_conv_layers.1                    =  norm
""")
V15 = tree("ace-step-1.5", """
layers.N.self_attn.q_proj   layers.N.self_attn.to_q       2048x2048   N=0-23
layers.N.self_attn.k_proj   layers.N.self_attn.to_k       1024x2048   N=0-23
layers.N.self_attn.v_proj   layers.N.self_attn.to_v       1024x2048   N=0-23
layers.N.self_attn.o_proj   layers.N.self_attn.to_out.0   2048x2048   N=0-23
layers.N.cross_attn.q_proj  layers.N.cross_attn.to_q      2048x2048   N=0-23
layers.N.cross_attn.k_proj  layers.N.cross_attn.to_k      1024x2048   N=0-23
layers.N.cross_attn.v_proj  layers.N.cross_attn.to_v      1024x2048   N=0-23
layers.N.cross_attn.o_proj  layers.N.cross_attn.to_out.0  2048x2048   N=0-23
layers.N.mlp.gate_proj      =                             6144x2048   N=0-23
layers.N.mlp.up_proj        =                             6144x2048   N=0-23
layers.N.mlp.down_proj      =                             2048x6144   N=0-23
proj_in.1                   proj_in_conv                  2048x192x2  bias
time_embed.linear_1         =                             2048x256    bias
time_embed.linear_2         =                             2048x2048   bias
time_embed.time_proj        =                             12288x2048  bias
time_embed_r.linear_1       =                             2048x256    bias
time_embed_r.linear_2       =                             2048x2048   bias
time_embed_r.time_proj      =                             12288x2048  bias
condition_embedder          =                             2048x2048   bias
proj_out.1                  proj_out_conv                 2048x64x2   bias
layers.N.self_attn_norm     =                             norm        N=0-23
layers.N.self_attn.q_norm   layers.N.self_attn.norm_q     norm        N=0-23
layers.N.self_attn.k_norm   layers.N.self_attn.norm_k     norm        N=0-23
layers.N.cross_attn_norm    =                             norm        N=0-23
layers.N.cross_attn.q_norm  layers.N.cross_attn.norm_q    norm        N=0-23
layers.N.cross_attn.k_norm  layers.N.cross_attn.norm_k    norm        N=0-23
layers.N.mlp_norm           =                             norm        N=0-23
norm_out                    =                             norm
""")

FAMILY = Family(id="ace-step", title="ACE-Step", trees={"1": V1, "1.5": V15})
