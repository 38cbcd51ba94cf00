"""The encoder of T5 and its relatives, in the names of transformers' T5EncoderModel."""

from ..family import Tree, tree

ATTENTION = """
encoder.block.N.layer.0.SelfAttention.q        =    keysxh    N=0-last
encoder.block.N.layer.0.SelfAttention.k        =    keysxh    N=0-last
encoder.block.N.layer.0.SelfAttention.v        =    keysxh    N=0-last
encoder.block.N.layer.0.SelfAttention.o        =    hxkeys    N=0-last
encoder.block.N.layer.1.DenseReluDense.wo      =    hxf       N=0-last
"""
GATED = """
encoder.block.N.layer.1.DenseReluDense.wi_0    =    fxh       N=0-last
encoder.block.N.layer.1.DenseReluDense.wi_1    =    fxh       N=0-last
"""
PLAIN = "encoder.block.N.layer.1.DenseReluDense.wi  =  fxh  N=0-last"


def t5(tree_id: str, width: int, keys: int, inner: int, layers: int, gated: bool = True) -> Tree:
    """``keys``: heads times the size of a head; ``gated``: T5 v1.1 and later, else the first T5."""
    sizes = {"h": width, "keys": keys, "f": inner, "last": layers - 1}
    return tree(tree_id, ATTENTION + (GATED if gated else PLAIN), sizes)
