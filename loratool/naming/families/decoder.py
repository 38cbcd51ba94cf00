"""The decoder of a language model that serves as text encoder, in the names of transformers' base models.

Files also spell them with the outer modules' names, ``model.`` or ``model.language_model.``, before.
"""

from ..family import Tree, tree

QKV = """
layers.N.self_attn.q_proj    =    queriesxh      {bias} N=0-last
layers.N.self_attn.k_proj    =    keysxh         {bias} N=0-last
layers.N.self_attn.v_proj    =    keysxh         {bias} N=0-last
"""
REST = """
layers.N.self_attn.o_proj    =    hxqueries      N=0-last
layers.N.mlp.down_proj       =    hxf            N=0-last
"""
SPLIT = """
layers.N.mlp.gate_proj       =    fxh            N=0-last
layers.N.mlp.up_proj         =    fxh            N=0-last
"""
FUSED = "layers.N.mlp.gate_up_proj  =  2fxh  N=0-last"


def decoder(tree_id: str, width: int, queries: int, keys: int, inner: int, layers: int,
            fused: bool = False, biased: bool = False) -> Tree:
    """``queries`` and ``keys``: rows of q and of k and v, ``biased`` or not; ``fused``: gate and up are one module."""
    sizes = {"h": width, "queries": queries, "keys": keys, "f": inner, "last": layers - 1}
    return tree(tree_id, QKV.replace("{bias}", "bias" * biased) + REST + (FUSED if fused else SPLIT), sizes)
