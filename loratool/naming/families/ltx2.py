"""LTX-2: video and audio branches. 2.3 has gates and prompt modulation, and no caption projections."""

from ..family import Family, encoders, tree

TABLE = """
patchify_proj  proj_in  4096x128  bias
audio_patchify_proj  audio_proj_in  2048x128  bias
adaln_single.emb.timestep_embedder.linear_1  time_embed.emb.timestep_embedder.linear_1  4096x256  bias
adaln_single.emb.timestep_embedder.linear_2  time_embed.emb.timestep_embedder.linear_2  4096x4096  bias
audio_adaln_single.emb.timestep_embedder.linear_1  audio_time_embed.emb.timestep_embedder.linear_1  2048x256  bias
audio_adaln_single.emb.timestep_embedder.linear_2  audio_time_embed.emb.timestep_embedder.linear_2  2048x2048  bias
av_ca_video_scale_shift_adaln_single.emb.timestep_embedder.linear_1  av_cross_attn_video_scale_shift.emb.timestep_embedder.linear_1  4096x256  bias
av_ca_video_scale_shift_adaln_single.emb.timestep_embedder.linear_2  av_cross_attn_video_scale_shift.emb.timestep_embedder.linear_2  4096x4096  bias
av_ca_video_scale_shift_adaln_single.linear  av_cross_attn_video_scale_shift.linear  16384x4096  bias
av_ca_audio_scale_shift_adaln_single.emb.timestep_embedder.linear_1  av_cross_attn_audio_scale_shift.emb.timestep_embedder.linear_1  2048x256  bias
av_ca_audio_scale_shift_adaln_single.emb.timestep_embedder.linear_2  av_cross_attn_audio_scale_shift.emb.timestep_embedder.linear_2  2048x2048  bias
av_ca_audio_scale_shift_adaln_single.linear  av_cross_attn_audio_scale_shift.linear  8192x2048  bias
av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1  av_cross_attn_video_a2v_gate.emb.timestep_embedder.linear_1  4096x256  bias
av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_2  av_cross_attn_video_a2v_gate.emb.timestep_embedder.linear_2  4096x4096  bias
av_ca_a2v_gate_adaln_single.linear  av_cross_attn_video_a2v_gate.linear  4096x4096  bias
av_ca_v2a_gate_adaln_single.emb.timestep_embedder.linear_1  av_cross_attn_audio_v2a_gate.emb.timestep_embedder.linear_1  2048x256  bias
av_ca_v2a_gate_adaln_single.emb.timestep_embedder.linear_2  av_cross_attn_audio_v2a_gate.emb.timestep_embedder.linear_2  2048x2048  bias
av_ca_v2a_gate_adaln_single.linear  av_cross_attn_audio_v2a_gate.linear  2048x2048  bias
transformer_blocks.N.attn1.to_q  =  4096x4096  bias N=0-47
transformer_blocks.N.attn1.to_k  =  4096x4096  bias N=0-47
transformer_blocks.N.attn1.to_v  =  4096x4096  bias N=0-47
transformer_blocks.N.attn1.to_out.0  =  4096x4096  bias N=0-47
transformer_blocks.N.audio_attn1.to_q  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn1.to_k  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn1.to_v  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn1.to_out.0  =  2048x2048  bias N=0-47
transformer_blocks.N.attn2.to_q  =  4096x4096  bias N=0-47
transformer_blocks.N.attn2.to_k  =  4096x4096  bias N=0-47
transformer_blocks.N.attn2.to_v  =  4096x4096  bias N=0-47
transformer_blocks.N.attn2.to_out.0  =  4096x4096  bias N=0-47
transformer_blocks.N.audio_attn2.to_q  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn2.to_k  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn2.to_v  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_attn2.to_out.0  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_to_video_attn.to_q  =  2048x4096  bias N=0-47
transformer_blocks.N.audio_to_video_attn.to_k  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_to_video_attn.to_v  =  2048x2048  bias N=0-47
transformer_blocks.N.audio_to_video_attn.to_out.0  =  4096x2048  bias N=0-47
transformer_blocks.N.video_to_audio_attn.to_q  =  2048x2048  bias N=0-47
transformer_blocks.N.video_to_audio_attn.to_k  =  2048x4096  bias N=0-47
transformer_blocks.N.video_to_audio_attn.to_v  =  2048x4096  bias N=0-47
transformer_blocks.N.video_to_audio_attn.to_out.0  =  2048x2048  bias N=0-47
transformer_blocks.N.ff.net.0.proj  =  16384x4096  bias N=0-47
transformer_blocks.N.ff.net.2  =  4096x16384  bias N=0-47
transformer_blocks.N.audio_ff.net.0.proj  =  8192x2048  bias N=0-47
transformer_blocks.N.audio_ff.net.2  =  2048x8192  bias N=0-47
proj_out  =  128x4096  bias
audio_proj_out  =  128x2048  bias
transformer_blocks.N.attn1.q_norm  transformer_blocks.N.attn1.norm_q  norm  N=0-47
transformer_blocks.N.attn1.k_norm  transformer_blocks.N.attn1.norm_k  norm  N=0-47
transformer_blocks.N.audio_attn1.q_norm  transformer_blocks.N.audio_attn1.norm_q  norm  N=0-47
transformer_blocks.N.audio_attn1.k_norm  transformer_blocks.N.audio_attn1.norm_k  norm  N=0-47
transformer_blocks.N.attn2.q_norm  transformer_blocks.N.attn2.norm_q  norm  N=0-47
transformer_blocks.N.attn2.k_norm  transformer_blocks.N.attn2.norm_k  norm  N=0-47
transformer_blocks.N.audio_attn2.q_norm  transformer_blocks.N.audio_attn2.norm_q  norm  N=0-47
transformer_blocks.N.audio_attn2.k_norm  transformer_blocks.N.audio_attn2.norm_k  norm  N=0-47
transformer_blocks.N.audio_to_video_attn.q_norm  transformer_blocks.N.audio_to_video_attn.norm_q  norm  N=0-47
transformer_blocks.N.audio_to_video_attn.k_norm  transformer_blocks.N.audio_to_video_attn.norm_k  norm  N=0-47
transformer_blocks.N.video_to_audio_attn.q_norm  transformer_blocks.N.video_to_audio_attn.norm_q  norm  N=0-47
transformer_blocks.N.video_to_audio_attn.k_norm  transformer_blocks.N.video_to_audio_attn.norm_k  norm  N=0-47
"""
OF_2_0 = """
caption_projection.linear_1        =                        4096x3840   bias
caption_projection.linear_2        =                        4096x4096   bias
audio_caption_projection.linear_1  =                        2048x3840   bias
audio_caption_projection.linear_2  =                        2048x2048   bias
adaln_single.linear                time_embed.linear        24576x4096  bias
audio_adaln_single.linear          audio_time_embed.linear  12288x2048  bias
"""
OF_2_3 = """
adaln_single.linear  time_embed.linear  36864x4096  bias
audio_adaln_single.linear  audio_time_embed.linear  18432x2048  bias
prompt_adaln_single.emb.timestep_embedder.linear_1  prompt_adaln.emb.timestep_embedder.linear_1  4096x256  bias
prompt_adaln_single.emb.timestep_embedder.linear_2  prompt_adaln.emb.timestep_embedder.linear_2  4096x4096  bias
prompt_adaln_single.linear  prompt_adaln.linear  8192x4096  bias
audio_prompt_adaln_single.emb.timestep_embedder.linear_1  audio_prompt_adaln.emb.timestep_embedder.linear_1  2048x256  bias
audio_prompt_adaln_single.emb.timestep_embedder.linear_2  audio_prompt_adaln.emb.timestep_embedder.linear_2  2048x2048  bias
audio_prompt_adaln_single.linear  audio_prompt_adaln.linear  4096x2048  bias
transformer_blocks.N.attn1.to_gate_logits  =  32x4096  bias N=0-47
transformer_blocks.N.attn2.to_gate_logits  =  32x4096  bias N=0-47
transformer_blocks.N.audio_attn1.to_gate_logits  =  32x2048  bias N=0-47
transformer_blocks.N.audio_attn2.to_gate_logits  =  32x2048  bias N=0-47
transformer_blocks.N.audio_to_video_attn.to_gate_logits  =  32x4096  bias N=0-47
transformer_blocks.N.video_to_audio_attn.to_gate_logits  =  32x2048  bias N=0-47
"""

FAMILY = Family(
    id="ltx2", title="LTX-2", trees={"2.0": tree("ltx2", TABLE + OF_2_0), "2.3": tree("ltx2", TABLE + OF_2_3)},
    encoders=encoders("""
gemma3-12b  text_encoder  gemma3_12b  lora_te_
"""),
)
