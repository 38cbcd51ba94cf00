"""LTX-Video."""

from ..family import Family, encoders, tree

TABLE = """
patchify_proj                                proj_in                                    hx128   bias
adaln_single.emb.timestep_embedder.linear_1  time_embed.emb.timestep_embedder.linear_1  hx256   bias
adaln_single.emb.timestep_embedder.linear_2  time_embed.emb.timestep_embedder.linear_2  hxh     bias
adaln_single.linear                          time_embed.linear                          6hxh    bias
caption_projection.linear_1                  =                                          hx4096  bias
caption_projection.linear_2                  =                                          hxh     bias
transformer_blocks.N.attn1.to_q              =                                          hxh     bias N=0-last
transformer_blocks.N.attn1.to_k              =                                          hxh     bias N=0-last
transformer_blocks.N.attn1.to_v              =                                          hxh     bias N=0-last
transformer_blocks.N.attn1.to_out.0          =                                          hxh     bias N=0-last
transformer_blocks.N.ff.net.0.proj           =                                          4hxh    bias N=0-last
transformer_blocks.N.ff.net.2                =                                          hx4h    bias N=0-last
transformer_blocks.N.attn2.to_q              =                                          hxh     bias N=0-last
transformer_blocks.N.attn2.to_k              =                                          hxh     bias N=0-last
transformer_blocks.N.attn2.to_v              =                                          hxh     bias N=0-last
transformer_blocks.N.attn2.to_out.0          =                                          hxh     bias N=0-last
proj_out                                     =                                          128xh   bias
transformer_blocks.N.attn1.q_norm            transformer_blocks.N.attn1.norm_q          norm    N=0-last
transformer_blocks.N.attn1.k_norm            transformer_blocks.N.attn1.norm_k          norm    N=0-last
transformer_blocks.N.attn2.q_norm            transformer_blocks.N.attn2.norm_q          norm    N=0-last
transformer_blocks.N.attn2.k_norm            transformer_blocks.N.attn2.norm_k          norm    N=0-last
"""

FAMILY = Family(
    id="ltx-video", title="LTX-Video",
    trees={"2b": tree("ltx-video", TABLE, {"h": 2048, "last": 27}),
           "13b": tree("ltx-video", TABLE, {"h": 4096, "last": 47})},
    encoders=encoders("""
t5-xxl  text_encoder  t5xxl  lora_te_ lora_te1_
"""),
)
