"""The short names of blocks."""

import pytest

from loratool.naming.address import DENOISER, Address
from loratool.naming.blocks import block, order


@pytest.mark.parametrize(("module", "name"), [
    ("input_blocks.8.1.proj_in", "IN08"), ("middle_block.1.proj_in", "MID"), ("output_blocks.0.0.in_layers.2", "OUT00"),
    ("double_blocks.3.img_attn.qkv", "D03"), ("single_blocks.17.linear1", "S17"), ("blocks.29.ffn.0", "B29"),
    ("layers.5.attention.qkv", "L05"), ("noise_refiner.1.attention.out", "NR01"), ("joint_blocks.2.x_block.mlp.fc1", "J02"),
    ("transformer_blocks.40.attn.to_q", "T40"), ("double_stream_blocks.4.block.attn1.to_q", "DS04"),
    ("txt_in.individual_token_refiner.blocks.1.mlp.fc1", "TIITR01"), ("img_in", "outside"),
    ("final_layer.adaLN_modulation.1", "outside"), ("time_embed.0", "outside")])
def test_a_block_is_named_by_its_row_and_number(module, name):
    assert block(Address(DENOISER, module)) == name


def test_encoders_and_strangers_have_their_own_words():
    assert block(Address("clip-l", "text_model.encoder.layers.3.mlp.fc1")) == "clip-l"
    assert block(None) == "other"


def test_blocks_are_in_the_order_of_the_model():
    names = ["other", "OUT00", "S00", "MID", "outside", "IN01", "clip-l", "D01"]
    assert sorted(names, key=order) == ["clip-l", "IN01", "MID", "OUT00", "D01", "S00", "other", "outside"]
