"""The decoder of a language model that serves as text encoder, in the names of transformers' base models.

Files also spell them with the outer modules' names, ``model.`` or ``model.language_model.``, before.
"""

from ..family import Tree, tree

ATTENTION = """
layers.N.self_attn.q_proj    =    queriesxh      N=0-last
layers.N.self_attn.k_proj    =    keysxh         N=0-last
layers.N.self_attn.v_proj    =    keysxh         N=0-last
layers.N.self_attn.o_proj    =    hxqueries      N=0-last
layers.N.mlp.down_proj       =    hxf            N=0-last
"""
SPLIT = """
layers.N.mlp.gate_proj       =    fxh            N=0-last
layers.N.mlp.up_proj         =    fxh            N=0-last
"""
FUSED = "layers.N.mlp.gate_up_proj  =  2fxh  N=0-last"


def decoder(tree_id: str, width: int, queries: int, keys: int, inner: int, layers: int, fused: bool = False) -> Tree:
    """``queries`` and ``keys``: rows of q and of k and v; ``fused``: gate and up are one module."""
    sizes = {"h": width, "queries": queries, "keys": keys, "f": inner, "last": layers - 1}
    return tree(tree_id, ATTENTION + (FUSED if fused else SPLIT), sizes)
