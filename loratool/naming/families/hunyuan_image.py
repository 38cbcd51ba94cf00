"""HunyuanImage 2.1; ``guidance_in`` and ``time_r_in`` are in the distilled model only."""

from ..family import Family, encoders, respelled, tree
from .hunyuan import COMFYUI

TREE = tree("hunyuan-image", """
byt5_in.fc1  context_embedder_2.linear_1  2048x1472  bias
byt5_in.fc2  context_embedder_2.linear_2  2048x2048  bias
byt5_in.fc3  context_embedder_2.linear_3  3584x2048  bias
img_in.proj  x_embedder.proj  3584x64x1x1  bias
txt_in.input_embedder  context_embedder.proj_in  3584x3584  bias
txt_in.t_embedder.mlp.0  context_embedder.time_text_embed.timestep_embedder.linear_1  3584x256  bias
txt_in.t_embedder.mlp.2  context_embedder.time_text_embed.timestep_embedder.linear_2  3584x3584  bias
txt_in.c_embedder.linear_1  context_embedder.time_text_embed.text_embedder.linear_1  3584x3584  bias
txt_in.c_embedder.linear_2  context_embedder.time_text_embed.text_embedder.linear_2  3584x3584  bias
txt_in.individual_token_refiner.blocks.N.self_attn_qkv  context_embedder.token_refiner.refiner_blocks.N.attn.{to_q,to_k,to_v}  10752x3584  bias N=0-1
txt_in.individual_token_refiner.blocks.N.self_attn_proj  context_embedder.token_refiner.refiner_blocks.N.attn.to_out.0  3584x3584  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc1  context_embedder.token_refiner.refiner_blocks.N.ff.net.0.proj  14336x3584  bias N=0-1
txt_in.individual_token_refiner.blocks.N.mlp.fc2  context_embedder.token_refiner.refiner_blocks.N.ff.net.2  3584x14336  bias N=0-1
txt_in.individual_token_refiner.blocks.N.adaLN_modulation.1  context_embedder.token_refiner.refiner_blocks.N.norm_out.linear  7168x3584  bias N=0-1
time_in.mlp.0  time_guidance_embed.timestep_embedder.linear_1  3584x256  bias
time_in.mlp.2  time_guidance_embed.timestep_embedder.linear_2  3584x3584  bias
double_blocks.N.img_mod.linear  transformer_blocks.N.norm1.linear  21504x3584  bias N=0-19
double_blocks.N.img_attn_qkv  transformer_blocks.N.attn.{to_q,to_k,to_v}  10752x3584  bias N=0-19
double_blocks.N.img_attn_proj  transformer_blocks.N.attn.to_out.0  3584x3584  bias N=0-19
double_blocks.N.img_mlp.fc1  transformer_blocks.N.ff.net.0.proj  14336x3584  bias N=0-19
double_blocks.N.img_mlp.fc2  transformer_blocks.N.ff.net.2  3584x14336  bias N=0-19
double_blocks.N.txt_mod.linear  transformer_blocks.N.norm1_context.linear  21504x3584  bias N=0-19
double_blocks.N.txt_attn_qkv  transformer_blocks.N.attn.{add_q_proj,add_k_proj,add_v_proj}  10752x3584  bias N=0-19
double_blocks.N.txt_attn_proj  transformer_blocks.N.attn.to_add_out  3584x3584  bias N=0-19
double_blocks.N.txt_mlp.fc1  transformer_blocks.N.ff_context.net.0.proj  14336x3584  bias N=0-19
double_blocks.N.txt_mlp.fc2  transformer_blocks.N.ff_context.net.2  3584x14336  bias N=0-19
single_blocks.N.linear1  single_transformer_blocks.N.{attn.to_q,attn.to_k,attn.to_v,proj_mlp}  25088x3584  rows=3584+3584+3584+14336 bias N=0-39
single_blocks.N.linear2  single_transformer_blocks.N.proj_out  3584x17920  bias N=0-39
single_blocks.N.modulation.linear  single_transformer_blocks.N.norm.linear  10752x3584  bias N=0-39
final_layer.linear  proj_out  64x3584  bias
final_layer.adaLN_modulation.1  norm_out.linear  7168x3584  swap bias
byt5_in.layernorm  context_embedder_2.norm  norm
txt_in.individual_token_refiner.blocks.N.norm1  context_embedder.token_refiner.refiner_blocks.N.norm1  norm  N=0-1
txt_in.individual_token_refiner.blocks.N.norm2  context_embedder.token_refiner.refiner_blocks.N.norm2  norm  N=0-1
double_blocks.N.img_attn_q_norm  transformer_blocks.N.attn.norm_q  norm  N=0-19
double_blocks.N.img_attn_k_norm  transformer_blocks.N.attn.norm_k  norm  N=0-19
double_blocks.N.txt_attn_q_norm  transformer_blocks.N.attn.norm_added_q  norm  N=0-19
double_blocks.N.txt_attn_k_norm  transformer_blocks.N.attn.norm_added_k  norm  N=0-19
single_blocks.N.q_norm  single_transformer_blocks.N.attn.norm_q  norm  N=0-39
single_blocks.N.k_norm  single_transformer_blocks.N.attn.norm_k  norm  N=0-39
guidance_in.mlp.0  time_guidance_embed.guidance_embedder.linear_1  3584x256  bias
guidance_in.mlp.2  time_guidance_embed.guidance_embedder.linear_2  3584x3584  bias
time_r_in.mlp.0  time_guidance_embed.timestep_embedder_r.linear_1  3584x256  bias
time_r_in.mlp.2  time_guidance_embed.timestep_embedder_r.linear_2  3584x3584  bias
""")

FAMILY = Family(
    id="hunyuan-image", title="HunyuanImage 2.1", trees={"": respelled(TREE, "comfyui", COMFYUI)},
    encoders=encoders("""
qwen2.5-vl-7b  text_encoder    qwen25_7b   lora_te_ lora_te1_
byt5-small     text_encoder_2  byt5_small  lora_te2_
"""),
)
