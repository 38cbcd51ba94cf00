"""Key sets that programs really write, filled with seeded numbers."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from loratool.naming.families import FAMILIES

DATA = Path(__file__).parent / "data"
"""Files of key sets: what a family that is added later writes stands in a file of its own."""
SPOKEN = {"sd15": "sd1", "sd21": "sd2", "sd35l": "sd3", "sd35m": "sd3", "sd3m": "sd3", "hunyuanvideo": "hunyuan-video",
          "hunyuanvideo15": "hunyuan-video-1.5", "ltxv": "ltx-video", "sana-1600m": "sana",
          "wan21-i2v-14b": "wan", "wan21-t2v-14b": "wan", "wan21-t2v-1.3b": "wan"}
"""What the sets call a family -> loratool's id, where it is not the id with a variant behind it."""


def family_of(name: str) -> str:
    """The true family of a set."""
    said = keysets()[name]["about"]["family"]
    return SPOKEN.get(said) or max((f for f in FAMILIES if said.startswith(f)), key=len)


@cache
def keysets() -> dict[str, dict]:
    """Name -> {"about": {...}, "tensors": {key: shape}}."""
    found: dict[str, dict] = {}
    for path in sorted(DATA.glob("*.json.xz")):
        with lzma.open(path) as file:
            found |= json.loads(file.read())
    return found


def keys_of(name: str) -> dict[str, list[int]]:
    return keysets()[name]["tensors"]


def with_rank(shapes: dict[str, list[int]], rank: int) -> dict[str, list[int]]:
    """The same LoRA keys with another rank."""
    changed = {}
    for key, shape in shapes.items():
        new = list(shape)
        if key.endswith(("lora_down.weight", "lora_A.weight", "lora_mid.weight")):
            new[0] = rank
        if key.endswith(("lora_up.weight", "lora_B.weight", "lora_mid.weight")):
            new[1] = rank
        changed[key] = new
    return changed


def fill(shapes: dict[str, list[int]], seed: int = 0, alpha: float = 8.0, dtype=np.float16,
         scale: float = 0.02) -> dict[str, np.ndarray]:
    """Seeded numbers for every key; ``alpha`` for the alphas."""
    rng = np.random.default_rng(seed)
    return {key: np.full(shape, alpha, dtype) if key.endswith("alpha")
            else (rng.standard_normal(shape, np.float32) * scale).astype(dtype) for key, shape in shapes.items()}


def write(path, name: str, rank: int | None = None, metadata: dict[str, str] | None = None, keep=None, **options):
    """Write the set ``name`` as a file; ``keep(key)`` selects keys. Returns the tensors."""
    shapes = {key: shape for key, shape in keys_of(name).items() if keep is None or keep(key)}
    tensors = fill(with_rank(shapes, rank) if rank else shapes, **options)
    save_file(tensors, str(path), metadata=metadata or {})
    return tensors
