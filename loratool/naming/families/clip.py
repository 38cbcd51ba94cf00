"""The text model of CLIP, in the names of transformers' CLIPTextModel."""

from __future__ import annotations

from ..family import Tree, tree

LAYER = """
text_model.encoder.layers.N.self_attn.k_proj      =    cxc       bias  N=0-last
text_model.encoder.layers.N.self_attn.v_proj      =    cxc       bias  N=0-last
text_model.encoder.layers.N.self_attn.q_proj      =    cxc       bias  N=0-last
text_model.encoder.layers.N.self_attn.out_proj    =    cxc       bias  N=0-last
text_model.encoder.layers.N.mlp.fc1               =    widexc    bias  N=0-last
text_model.encoder.layers.N.mlp.fc2               =    cxwide    bias  N=0-last
text_model.encoder.layers.N.layer_norm1           =    norm      N=0-last
text_model.encoder.layers.N.layer_norm2           =    norm      N=0-last
text_model.final_layer_norm                       =    norm
"""


def clip(tree_id: str, width: int, layers: int, projection: bool = False) -> Tree:
    """``projection``: whether the model ends in a ``text_projection`` that adapters can train."""
    table = LAYER + ("text_projection = cxc" if projection else "")
    return tree(tree_id, table, {"c": width, "wide": 4 * width, "last": layers - 1})
