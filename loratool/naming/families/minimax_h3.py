"""MiniMax-H3. ``fc1`` is [gate; value] in native files and [value; gate] in diffusers.

``qkv_proj`` is stacked [q; k; v], except in DiffSynth's files, which name PEFT's adapter in their suffixes: there it
is interleaved head by head, as in the shards of the model's authors.
"""

from ..family import Family, encoders, tree

TREE = tree("minimax-h3", """
video_patch_proj                      proj_in                                               5376x96     bias
audio_patch_proj                      audio_proj_in                                         5376x32     bias
condition_proj                        context_embedder                                      5376x5120   bias
time_embedder.proj_in                 time_embedder.linear_1                                5376x256    bias
time_embedder.proj_out                time_embedder.linear_2                                2688x5376   bias
token_refiner.blocks.N.attn.qkv_proj  token_refiner.refiner_blocks.N.attn.{to_q,to_k,to_v}  21504x5376  heads=128 N=0-1
token_refiner.blocks.N.attn.out_proj  token_refiner.refiner_blocks.N.attn.to_out.0          5376x7168   N=0-1
token_refiner.blocks.N.mlp.fc1        token_refiner.refiner_blocks.N.ff.net.0.proj          28672x5376  swap N=0-1
token_refiner.blocks.N.mlp.fc2        token_refiner.refiner_blocks.N.ff.net.2               5376x14336  N=0-1
blocks.N.attn.qkv_proj                transformer_blocks.N.attn.{to_q,to_k,to_v}            21504x5376  heads=128 N=0-49
blocks.N.attn.out_proj                transformer_blocks.N.attn.to_out.0                    5376x7168   N=0-49
blocks.N.mlp.fc1                      transformer_blocks.N.ff.net.0.proj                    28672x5376  swap N=0-49
blocks.N.mlp.fc2                      transformer_blocks.N.ff.net.2                         5376x14336  N=0-49
blocks.N.adaln_proj.linear            transformer_blocks.N.adaln_proj.linear                96768x2688  bias N=0-49
final_layer.adaln_proj.linear         norm_out.linear                                       10752x2688  bias
final_layer.video_out                 proj_out                                              96x5376     bias
final_layer.audio_out                 audio_proj_out                                        32x5376     bias
token_refiner.blocks.N.norm1          token_refiner.refiner_blocks.N.norm1                  norm        N=0-1
token_refiner.blocks.N.attn.q_norm    token_refiner.refiner_blocks.N.attn.norm_q            norm        N=0-1
token_refiner.blocks.N.attn.k_norm    token_refiner.refiner_blocks.N.attn.norm_k            norm        N=0-1
token_refiner.blocks.N.norm2          token_refiner.refiner_blocks.N.norm2                  norm        N=0-1
token_refiner.final_norm              =                                                     norm
blocks.N.norm1                        transformer_blocks.N.norm1                            norm        N=0-49
blocks.N.attn.q_norm                  transformer_blocks.N.attn.norm_q                      norm        N=0-49
blocks.N.attn.k_norm                  transformer_blocks.N.attn.norm_k                      norm        N=0-49
blocks.N.norm2                        transformer_blocks.N.norm2                            norm        N=0-49
final_layer.norm                      norm_out.norm                                         norm
""")

FAMILY = Family(
    id="minimax-h3", title="MiniMax-H3", trees={"": TREE},
    encoders=encoders("""
qwen3-vl-32b  text_encoder  qwen3vl_32b  lora_te_
"""),
)
