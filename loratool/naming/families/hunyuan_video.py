"""HunyuanVideo. OneTrainer counts Llama as the first text encoder and CLIP-L as the second."""

from ..family import Family, encoders, respelled, tree
from .hunyuan import COMFYUI

TREE = tree("hunyuan-video", """
img_in.proj  x_embedder.proj  3072x16x1x2x2  bias
txt_in.input_embedder  context_embedder.proj_in  3072x4096  bias
txt_in.t_embedder.mlp.0  context_embedder.time_text_embed.timestep_embedder.linear_1  3072x256  bias
txt_in.t_embedder.mlp.2  context_embedder.time_text_embed.timestep_embedder.linear_2  3072x3072  bias
txt_in.c_embedder.linear_1  context_embedder.time_text_embed.text_embedder.linear_1  3072x4096  bias
txt_in.c_embedder.linear_2  context_embedder.time_text_embed.text_embedder.linear_2  3072x3072  bias
txt_in.individual_token_refiner.blocks.N.self_attn_qkv  context_embedder.token_refiner.refiner_blocks.N.attn.{to_q,to_k,to_v}  9216x3072  bias N=0-1
txt_in.individual_token_refiner.blocks.N.self_attn_proj  context_embedder.token_refiner.refiner_blocks.N.attn.to_out.0  3072x3072  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc1  context_embedder.token_refiner.refiner_blocks.N.ff.net.0.proj  12288x3072  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc2  context_embedder.token_refiner.refiner_blocks.N.ff.net.2  3072x12288  bias N=0-1
txt_in.individual_token_refiner.blocks.N.adaLN_modulation.1  context_embedder.token_refiner.refiner_blocks.N.norm_out.linear  6144x3072  bias N=0-1
time_in.mlp.0  time_text_embed.timestep_embedder.linear_1  3072x256  bias
time_in.mlp.2  time_text_embed.timestep_embedder.linear_2  3072x3072  bias
vector_in.in_layer  time_text_embed.text_embedder.linear_1  3072x768  bias
vector_in.out_layer  time_text_embed.text_embedder.linear_2  3072x3072  bias
guidance_in.mlp.0  time_text_embed.guidance_embedder.linear_1  3072x256  bias
guidance_in.mlp.2  time_text_embed.guidance_embedder.linear_2  3072x3072  bias
double_blocks.N.img_mod.linear  transformer_blocks.N.norm1.linear  18432x3072  bias N=0-19
double_blocks.N.img_attn_qkv  transformer_blocks.N.attn.{to_q,to_k,to_v}  9216x3072  bias N=0-19
double_blocks.N.img_attn_proj  transformer_blocks.N.attn.to_out.0  3072x3072  bias N=0-19
double_blocks.N.img_mlp.fc1  transformer_blocks.N.ff.net.0.proj  12288x3072  bias N=0-19
double_blocks.N.img_mlp.fc2  transformer_blocks.N.ff.net.2  3072x12288  bias N=0-19
double_blocks.N.txt_mod.linear  transformer_blocks.N.norm1_context.linear  18432x3072  bias N=0-19
double_blocks.N.txt_attn_qkv  transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  9216x3072  bias N=0-19
double_blocks.N.txt_attn_proj  transformer_blocks.N.attn.to_add_out  3072x3072  bias N=0-19
double_blocks.N.txt_mlp.fc1  transformer_blocks.N.ff_context.net.0.proj  12288x3072  bias N=0-19
double_blocks.N.txt_mlp.fc2  transformer_blocks.N.ff_context.net.2  3072x12288  bias N=0-19
single_blocks.N.linear1  single_transformer_blocks.N.{attn.to_q,attn.to_k,attn.to_v,proj_mlp}  21504x3072  rows=3072+3072+3072+12288 bias N=0-39
single_blocks.N.linear2  single_transformer_blocks.N.proj_out  3072x15360  bias N=0-39
single_blocks.N.modulation.linear  single_transformer_blocks.N.norm.linear  9216x3072  bias N=0-39
final_layer.linear  proj_out  64x3072  bias
final_layer.adaLN_modulation.1  norm_out.linear  6144x3072  swap bias
txt_in.individual_token_refiner.blocks.N.norm1  context_embedder.token_refiner.refiner_blocks.N.norm1  norm  N=0-1
txt_in.individual_token_refiner.blocks.N.norm2  context_embedder.token_refiner.refiner_blocks.N.norm2  norm  N=0-1
double_blocks.N.img_attn_q_norm  transformer_blocks.N.attn.norm_q  norm  N=0-19
double_blocks.N.img_attn_k_norm  transformer_blocks.N.attn.norm_k  norm  N=0-19
double_blocks.N.txt_attn_q_norm  transformer_blocks.N.attn.norm_added_q  norm  N=0-19
double_blocks.N.txt_attn_k_norm  transformer_blocks.N.attn.norm_added_k  norm  N=0-19
single_blocks.N.q_norm  single_transformer_blocks.N.attn.norm_q  norm  N=0-39
single_blocks.N.k_norm  single_transformer_blocks.N.attn.norm_k  norm  N=0-39
""")

FAMILY = Family(
    id="hunyuan-video", title="HunyuanVideo", trees={"": respelled(TREE, "comfyui", COMFYUI)},
    encoders=encoders("""
llama-3-8b  text_encoder    llama   lora_te1_ lora_te_
clip-l      text_encoder_2  clip_l  lora_te2_
"""),
)
