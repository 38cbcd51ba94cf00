"""T5 v1.1 XXL, encoder, in the names of transformers' T5EncoderModel."""

from ..family import tree

TREE = tree("t5-xxl", """
encoder.block.N.layer.0.SelfAttention.q        =    4096x4096     N=0-23
encoder.block.N.layer.0.SelfAttention.k        =    4096x4096     N=0-23
encoder.block.N.layer.0.SelfAttention.v        =    4096x4096     N=0-23
encoder.block.N.layer.0.SelfAttention.o        =    4096x4096     N=0-23
encoder.block.N.layer.1.DenseReluDense.wi_0    =    10240x4096    N=0-23
encoder.block.N.layer.1.DenseReluDense.wi_1    =    10240x4096    N=0-23
encoder.block.N.layer.1.DenseReluDense.wo      =    4096x10240    N=0-23
""")
