"""The text encoders, each a network that several families share. Sizes are those of the published configurations."""

from __future__ import annotations

from collections.abc import Callable

from ..family import Tree, tree
from .clip import clip
from .decoder import decoder
from .t5 import t5

ADAPTER = """
blocks.N.self_attn.q_proj     =    1024x1024         N=0-5
blocks.N.self_attn.k_proj     =    1024x1024         N=0-5
blocks.N.self_attn.v_proj     =    1024x1024         N=0-5
blocks.N.self_attn.o_proj     =    1024x1024         N=0-5
blocks.N.cross_attn.q_proj    =    1024x1024         N=0-5
blocks.N.cross_attn.k_proj    =    1024x1024         N=0-5
blocks.N.cross_attn.v_proj    =    1024x1024         N=0-5
blocks.N.cross_attn.o_proj    =    1024x1024         N=0-5
blocks.N.mlp.0                =    4096x1024    bias N=0-5
blocks.N.mlp.2                =    1024x4096    bias N=0-5
out_proj                      =    1024x1024    bias
"""
"""Anima's network between its text encoder and its denoiser."""

NETWORKS: dict[str, Callable[[str], Tree]] = {
    "clip-l": lambda name: clip(name, width=768, layers=12),
    "clip-g": lambda name: clip(name, width=1280, layers=32, projection=True),
    "openclip-h": lambda name: clip(name, width=1024, layers=23),
    "t5-xxl": lambda name: t5(name, width=4096, keys=4096, inner=10240, layers=24),
    "t5-11b": lambda name: t5(name, width=1024, keys=16384, inner=65536, layers=24, gated=False),
    "pile-t5-xl": lambda name: t5(name, width=2048, keys=2048, inner=5120, layers=24),
    "umt5-xxl": lambda name: t5(name, width=4096, keys=4096, inner=10240, layers=24),
    "byt5-small": lambda name: t5(name, width=1472, keys=384, inner=3584, layers=12),
    "gemma2-2b": lambda name: decoder(name, width=2304, queries=2048, keys=1024, inner=9216, layers=26),
    "gemma3-12b": lambda name: decoder(name, width=3840, queries=4096, keys=2048, inner=15360, layers=48),
    "llama-3-8b": lambda name: decoder(name, width=4096, queries=4096, keys=1024, inner=14336, layers=32),
    "mistral-3": lambda name: decoder(name, width=5120, queries=4096, keys=1024, inner=32768, layers=40),
    "qwen2.5-vl-3b": lambda name: decoder(name, width=2048, queries=2048, keys=256, inner=11008, layers=36, biased=True),
    "qwen2.5-vl-7b": lambda name: decoder(name, width=3584, queries=3584, keys=512, inner=18944, layers=28, biased=True),
    "qwen3-0.6b": lambda name: decoder(name, width=1024, queries=2048, keys=1024, inner=3072, layers=28),
    "qwen3-4b": lambda name: decoder(name, width=2560, queries=4096, keys=1024, inner=9728, layers=36),
    "qwen3-8b": lambda name: decoder(name, width=4096, queries=4096, keys=1024, inner=12288, layers=36),
    "qwen3-vl-4b": lambda name: decoder(name, width=2560, queries=4096, keys=1024, inner=9728, layers=36),
    "qwen3-vl-8b": lambda name: decoder(name, width=4096, queries=4096, keys=1024, inner=12288, layers=36),
    "qwen3-vl-32b": lambda name: decoder(name, width=5120, queries=8192, keys=1024, inner=25600, layers=64),
    "glm-4-9b": lambda name: decoder(name, width=4096, queries=4096, keys=256, inner=13696, layers=40, fused=True,
                                      biased=True),
    "llm-adapter": lambda name: tree(name, ADAPTER),
}
