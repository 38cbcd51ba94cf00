"""HiDream-I1: 16 double and 32 single blocks, 4 routed experts and a shared one. ``to_out`` has no ``.0``."""

from ..family import Family, encoders, tree

TREE = tree("hidream", """
t_embedder.timestep_embedder.linear_1                =  2560x256    bias
t_embedder.timestep_embedder.linear_2                =  2560x2560   bias
p_embedder.pooled_embedder.linear_1                  =  2560x2048   bias
p_embedder.pooled_embedder.linear_2                  =  2560x2560   bias
x_embedder.proj                                      =  2560x64     bias
double_stream_blocks.N.block.adaLN_modulation.1      =  30720x2560  bias N=0-15
double_stream_blocks.N.block.attn1.to_q              =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_k              =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_v              =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_out            =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_q_t            =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_k_t            =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_v_t            =  2560x2560   bias N=0-15
double_stream_blocks.N.block.attn1.to_out_t          =  2560x2560   bias N=0-15
double_stream_blocks.N.block.ff_i.shared_experts.w1  =  3584x2560   N=0-15
double_stream_blocks.N.block.ff_i.shared_experts.w2  =  2560x3584   N=0-15
double_stream_blocks.N.block.ff_i.shared_experts.w3  =  3584x2560   N=0-15
double_stream_blocks.N.block.ff_i.experts.M.w1       =  6912x2560   N=0-15 M=0-3
double_stream_blocks.N.block.ff_i.experts.M.w2       =  2560x6912   N=0-15 M=0-3
double_stream_blocks.N.block.ff_i.experts.M.w3       =  6912x2560   N=0-15 M=0-3
double_stream_blocks.N.block.ff_i.gate               =  4x2560      N=0-15
double_stream_blocks.N.block.ff_t.w1                 =  6912x2560   N=0-15
double_stream_blocks.N.block.ff_t.w2                 =  2560x6912   N=0-15
double_stream_blocks.N.block.ff_t.w3                 =  6912x2560   N=0-15
single_stream_blocks.N.block.adaLN_modulation.1      =  15360x2560  bias N=0-31
single_stream_blocks.N.block.attn1.to_q              =  2560x2560   bias N=0-31
single_stream_blocks.N.block.attn1.to_k              =  2560x2560   bias N=0-31
single_stream_blocks.N.block.attn1.to_v              =  2560x2560   bias N=0-31
single_stream_blocks.N.block.attn1.to_out            =  2560x2560   bias N=0-31
single_stream_blocks.N.block.ff_i.shared_experts.w1  =  3584x2560   N=0-31
single_stream_blocks.N.block.ff_i.shared_experts.w2  =  2560x3584   N=0-31
single_stream_blocks.N.block.ff_i.shared_experts.w3  =  3584x2560   N=0-31
single_stream_blocks.N.block.ff_i.experts.M.w1       =  6912x2560   N=0-31 M=0-3
single_stream_blocks.N.block.ff_i.experts.M.w2       =  2560x6912   N=0-31 M=0-3
single_stream_blocks.N.block.ff_i.experts.M.w3       =  6912x2560   N=0-31 M=0-3
single_stream_blocks.N.block.ff_i.gate               =  4x2560      N=0-31
final_layer.linear                                   =  64x2560     bias
final_layer.adaLN_modulation.1                       =  5120x2560   bias
caption_projection.N.linear                          =  2560x4096   N=0-48
double_stream_blocks.N.block.attn1.q_rms_norm        =  norm        N=0-15
double_stream_blocks.N.block.attn1.k_rms_norm        =  norm        N=0-15
double_stream_blocks.N.block.attn1.q_rms_norm_t      =  norm        N=0-15
double_stream_blocks.N.block.attn1.k_rms_norm_t      =  norm        N=0-15
single_stream_blocks.N.block.attn1.q_rms_norm        =  norm        N=0-31
single_stream_blocks.N.block.attn1.k_rms_norm        =  norm        N=0-31
""")

FAMILY = Family(
    id="hidream", title="HiDream-I1", trees={"": TREE},
    encoders=encoders("""
clip-l      text_encoder    clip_l  lora_te1_
clip-g      text_encoder_2  clip_g  lora_te2_
t5-xxl      text_encoder_3  t5xxl   lora_te3_
llama-3-8b  text_encoder_4  llama   lora_te4_
"""),
)
