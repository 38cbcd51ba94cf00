"""How ComfyUI spells the modules of Hunyuan models: as FLUX.1 does. The other names are the original ones."""

COMFYUI = """
img_attn_qkv                      img_attn.qkv
img_attn_q                        img_attn.q
img_attn_k                        img_attn.k
img_attn_v                        img_attn.v
img_attn_proj                     img_attn.proj
txt_attn_qkv                      txt_attn.qkv
txt_attn_q                        txt_attn.q
txt_attn_k                        txt_attn.k
txt_attn_v                        txt_attn.v
txt_attn_proj                     txt_attn.proj
img_mlp.fc1                       img_mlp.0
img_mlp.fc2                       img_mlp.2
txt_mlp.fc1                       txt_mlp.0
txt_mlp.fc2                       txt_mlp.2
img_mod.linear                    img_mod.lin
txt_mod.linear                    txt_mod.lin
modulation.linear                 modulation.lin
time_in.mlp.0                     time_in.in_layer
time_in.mlp.2                     time_in.out_layer
guidance_in.mlp.0                 guidance_in.in_layer
guidance_in.mlp.2                 guidance_in.out_layer
time_r_in.mlp.0                   time_r_in.in_layer
time_r_in.mlp.2                   time_r_in.out_layer
t_embedder.mlp.0                  t_embedder.in_layer
t_embedder.mlp.2                  t_embedder.out_layer
c_embedder.linear_1               c_embedder.in_layer
c_embedder.linear_2               c_embedder.out_layer
self_attn_qkv                     self_attn.qkv
self_attn_proj                    self_attn.proj
blocks.N.mlp.fc1                  blocks.N.mlp.0
blocks.N.mlp.fc2                  blocks.N.mlp.2
"""
