"""Wan 2.1 and 2.2. Nothing is fused or swapped; image modules are in Wan 2.1 I2V and FLF2V only."""

from ..family import Family, Tree, encoders, tree

TABLE = """
patch_embedding             =                                          hxinx1x2x2  bias
text_embedding.0            condition_embedder.text_embedder.linear_1  hx4096      bias
text_embedding.2            condition_embedder.text_embedder.linear_2  hxh         bias
time_embedding.0            condition_embedder.time_embedder.linear_1  hx256       bias
time_embedding.2            condition_embedder.time_embedder.linear_2  hxh         bias
time_projection.1           condition_embedder.time_proj               6hxh        bias
blocks.N.self_attn.q        blocks.N.attn1.to_q                        hxh         bias N=0-last
blocks.N.self_attn.k        blocks.N.attn1.to_k                        hxh         bias N=0-last
blocks.N.self_attn.v        blocks.N.attn1.to_v                        hxh         bias N=0-last
blocks.N.self_attn.o        blocks.N.attn1.to_out.0                    hxh         bias N=0-last
blocks.N.cross_attn.q       blocks.N.attn2.to_q                        hxh         bias N=0-last
blocks.N.cross_attn.k       blocks.N.attn2.to_k                        hxh         bias N=0-last
blocks.N.cross_attn.v       blocks.N.attn2.to_v                        hxh         bias N=0-last
blocks.N.cross_attn.o       blocks.N.attn2.to_out.0                    hxh         bias N=0-last
blocks.N.ffn.0              blocks.N.ffn.net.0.proj                    fxh         bias N=0-last
blocks.N.ffn.2              blocks.N.ffn.net.2                         hxf         bias N=0-last
head.head                   proj_out                                   outxh       bias
blocks.N.self_attn.norm_q   blocks.N.attn1.norm_q                      norm        N=0-last
blocks.N.self_attn.norm_k   blocks.N.attn1.norm_k                      norm        N=0-last
blocks.N.norm3              blocks.N.norm2                             norm        N=0-last
blocks.N.cross_attn.norm_q  blocks.N.attn2.norm_q                      norm        N=0-last
blocks.N.cross_attn.norm_k  blocks.N.attn2.norm_k                      norm        N=0-last
"""
IMAGE = """
blocks.N.cross_attn.k_img       blocks.N.attn2.add_k_proj                        hxh        bias N=0-last
blocks.N.cross_attn.v_img       blocks.N.attn2.add_v_proj                        hxh        bias N=0-last
img_emb.proj.1                  condition_embedder.image_embedder.ff.net.0.proj  1280x1280  bias
img_emb.proj.3                  condition_embedder.image_embedder.ff.net.2       hx1280     bias
blocks.N.cross_attn.norm_k_img  blocks.N.attn2.norm_added_k                      norm       N=0-last
img_emb.proj.0                  condition_embedder.image_embedder.norm1          norm
img_emb.proj.4                  condition_embedder.image_embedder.norm2          norm
"""
VACE = """
vace_blocks.N.self_attn.q        vace_blocks.N.attn1.to_q      hxh         bias N=0-vace
vace_blocks.N.self_attn.k        vace_blocks.N.attn1.to_k      hxh         bias N=0-vace
vace_blocks.N.self_attn.v        vace_blocks.N.attn1.to_v      hxh         bias N=0-vace
vace_blocks.N.self_attn.o        vace_blocks.N.attn1.to_out.0  hxh         bias N=0-vace
vace_blocks.N.cross_attn.q       vace_blocks.N.attn2.to_q      hxh         bias N=0-vace
vace_blocks.N.cross_attn.k       vace_blocks.N.attn2.to_k      hxh         bias N=0-vace
vace_blocks.N.cross_attn.v       vace_blocks.N.attn2.to_v      hxh         bias N=0-vace
vace_blocks.N.cross_attn.o       vace_blocks.N.attn2.to_out.0  hxh         bias N=0-vace
vace_blocks.N.ffn.0              vace_blocks.N.ffn.net.0.proj  fxh         bias N=0-vace
vace_blocks.N.ffn.2              vace_blocks.N.ffn.net.2       hxf         bias N=0-vace
vace_blocks.N.before_proj        vace_blocks.N.proj_in         hxh         bias N=0
vace_blocks.N.after_proj         vace_blocks.N.proj_out        hxh         bias N=0-vace
vace_patch_embedding             =                             hx96x1x2x2  bias
vace_blocks.N.self_attn.norm_q   vace_blocks.N.attn1.norm_q    norm        N=0-vace
vace_blocks.N.self_attn.norm_k   vace_blocks.N.attn1.norm_k    norm        N=0-vace
vace_blocks.N.norm3              vace_blocks.N.norm2           norm        N=0-vace
vace_blocks.N.cross_attn.norm_q  vace_blocks.N.attn2.norm_q    norm        N=0-vace
vace_blocks.N.cross_attn.norm_k  vace_blocks.N.attn2.norm_k    norm        N=0-vace
"""


def _tree(table: str, width: int, inner: int, blocks: int, patch: int = 16, head: int = 64, vace: int = 0) -> Tree:
    """``patch`` and ``head``: channels of the patch embedding and rows of the head."""
    return tree("wan", table, {"h": width, "f": inner, "last": blocks - 1, "in": patch, "out": head, "vace": vace - 1})


T2V = _tree(TABLE, 5120, 13824, 40)
I2V = _tree(TABLE + IMAGE, 5120, 13824, 40, patch=36)

FAMILY = Family(
    id="wan", title="Wan",
    trees={
        "2.1-t2v-1.3b": _tree(TABLE, 1536, 8960, 30), "2.1-t2v-14b": T2V, "2.1-i2v-14b": I2V, "2.1-flf2v-14b": I2V,
        "2.1-vace-1.3b": _tree(TABLE + VACE, 1536, 8960, 30, vace=15),
        "2.1-vace-14b": _tree(TABLE + VACE, 5120, 13824, 40, vace=8),
        "2.2-t2v-a14b": T2V, "2.2-i2v-a14b": _tree(TABLE, 5120, 13824, 40, patch=36),
        "2.2-ti2v-5b": _tree(TABLE, 3072, 14336, 30, patch=48, head=192),
    },
    encoders=encoders("""
umt5-xxl  text_encoder  umt5xxl  lora_te_ lora_te1_
"""),
)
