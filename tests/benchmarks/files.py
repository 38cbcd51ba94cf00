"""Full-size adapters: authentic names and shapes, power-law spectra, realistic metadata."""

from __future__ import annotations

import json
import sys

import numpy as np
from safetensors.numpy import save_file

from loratool.naming.address import DENOISER
from loratool.naming.dialect import DIALECTS
from loratool.naming.keymap import keymap

KINDS = ("attn", "ff.net", "proj_in", "proj_out", "mlp", "qkv", "linear", "lin")


def modules(family: str, conv: bool = False) -> dict[str, tuple[int, ...]]:
    """Kohya stem -> shape, of the modules that the family's main trainer adapts."""
    keys, found = keymap(family), {}
    for component, tree in keys.trees.items():
        if component == "t5-xxl":
            continue
        for module in tree.modules.values():
            spatial = any(size > 1 for size in module.shape[2:])
            attention = component != DENOISER or any(kind in module.native for kind in KINDS)
            if module.native != "text_projection" and (attention or (conv and "blocks" in module.native)):
                if spatial and not conv:
                    continue
                found[keys.targets(component, module.native, DIALECTS["kohya"])[0][0]] = module.shape
    return found


def make(path: str, family: str, rank: int, seed: int = 0, conv: bool = False) -> None:
    """An F16 kohya file with alpha = rank / 2 and a tag table of some 100 kB."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for stem, shape in modules(family, conv).items():
        own = min(rank, shape[0], int(np.prod(shape[1:])))
        sigma = np.arange(1, own + 1, dtype=np.float32) ** -rng.uniform(0.5, 1.2)
        ones = (1,) * (len(shape) - 2)
        up = rng.standard_normal((shape[0], own), np.float32) * sigma * 0.02
        tensors[f"{stem}.lora_up.weight"] = up.astype(np.float16).reshape(shape[0], own, *ones)
        down = rng.standard_normal((own, *shape[1:]), np.float32) * 0.02
        tensors[f"{stem}.lora_down.weight"] = down.astype(np.float16)
        tensors[f"{stem}.alpha"] = np.array(rank / 2, np.float16)
    tags = {"10_shapes": {f"tag number {n}": 1 + n % 40 for n in range(4000)}}
    save_file(tensors, path, metadata={"ss_network_dim": str(rank), "ss_network_alpha": str(rank / 2),
                                       "ss_tag_frequency": json.dumps(tags)})


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), conv=sys.argv[5:] == ["conv"])
