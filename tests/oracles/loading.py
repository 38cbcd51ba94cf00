"""How the oracles read an adapter: what diffusers and PEFT made of it, and what numpy says it means.

Updates are compared by what they do to a few random inputs, so that no weight of full size is made:
two matrices of low rank that agree on three random vectors are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from loratool.adapter.adapter import Adapter
from loratool.naming.dialect import split_prefix
from loratool.naming.keymap import keymap
from loratool.naming.suffix import split_suffix
from loratool.ops import convert, run
from loratool.tensors.policy import Policy

PROBES = 3


def converted(source: Path, to: str, target: Path, family: str | None = "flux1", drop: bool = False):
    """Convert as the command line does; ``family`` decides where a part of FLUX.1 fits others too."""
    with Adapter.open(str(source), family) as adapter:
        return run.execute(convert.plan(adapter, to, drop), str(target), Policy())


def effect(up: np.ndarray, down: np.ndarray, scale: float, mid: np.ndarray | None = None) -> np.ndarray:
    """``scale * up @ down @ x`` for the random x of this input size, in float64."""
    up = up.astype(np.float64).reshape(up.shape[0], -1)
    down = down.astype(np.float64)
    if mid is not None:
        mid = mid.astype(np.float64)
        down = np.einsum("mnhw,nj->mjhw", mid, down.reshape(down.shape[0], -1))
    down = down.reshape(down.shape[0], -1)
    x = np.random.default_rng(down.shape[1]).standard_normal((down.shape[1], PROBES))
    return scale * (up @ (down @ x))


def meant(path: Path, family: str) -> dict[tuple[str, str], np.ndarray]:
    """(component, diffusers module) -> its effect, from a kohya file: alpha / rank * up @ down.

    Names go through the tables that test_families compares with diffusers' own converter.
    """
    tensors = load_file(path)
    found: dict[tuple[str, str], np.ndarray] = {}
    for stem in {split_suffix(key)[0] for key in tensors}:
        up, down = tensors[f"{stem}.lora_up.weight"], tensors[f"{stem}.lora_down.weight"]
        rank = up.shape[1]
        scale = float(tensors.get(f"{stem}.alpha", np.float64(rank))) / rank
        whole = effect(up, down, scale, tensors.get(f"{stem}.lora_mid.weight"))
        hit = keymap(family).read(*split_prefix(stem))
        assert hit is not None, stem
        parts = keymap(family).module(hit.address).parts
        if hit.address.rows is not None:
            (same,) = [part for part in parts if part.rows == hit.address.rows]
            found[hit.address.component, same.name] = whole
            continue
        for part in parts:
            rows = whole if part.rows is None else np.concatenate([whole[a:b] for a, b in part.rows])
            found[hit.address.component, part.name] = rows
    return found


def weightless(model: torch.nn.Module) -> torch.nn.Module:
    """A model of the meta device on the CPU: every weight in full size, and all zeros of it one number.

    PEFT puts an adapter onto the device of the layer below, so that a model on meta would swallow it.
    """
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            zeros = torch.zeros(1, device="cpu").expand(value.shape)
            setattr(module, name, torch.nn.Parameter(zeros, requires_grad=False))
        for name, value in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(1, dtype=value.dtype, device="cpu").expand(value.shape))
    return model


def loaded(model: torch.nn.Module, adapter: str = "default_0") -> dict[str, np.ndarray]:
    """Module -> its effect, of every LoRA layer in a model: the scaling and the weights it holds."""
    found = {}
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A") and adapter in layer.lora_A:
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            assert not a.is_meta, f"{name}: lora_A was not loaded"
            assert not b.is_meta, f"{name}: lora_B was not loaded"
            assert a.shape[0] == layer.r[adapter] == b.shape[1], name
            found[name] = effect(b.detach().float().numpy(), a.detach().float().numpy(), layer.scaling[adapter])
    return found


def parameters(model: torch.nn.Module, adapter: str = "default_0") -> set[str]:
    """The LoRA parameters of a model, in the names of a file."""
    return {name.replace(f".{adapter}.", ".") for name, _ in model.named_parameters() if ".lora_" in name}


def of_state_dict(state: Mapping[str, torch.Tensor], prefix: str = "") -> dict[str, np.ndarray]:
    """Module -> effect at scale 1, of lora_A / lora_B keys under ``prefix``."""
    stems = {key.rsplit(".lora_", 1)[0] for key in state if key.startswith(prefix)}
    return {stem.removeprefix(prefix): effect(state[f"{stem}.lora_B.weight"].float().numpy(),
                                              state[f"{stem}.lora_A.weight"].float().numpy(), 1.0) for stem in stems}


def assert_same(found: Mapping, expected: Mapping, tolerance: float) -> None:
    """The same modules, and each effect equal within ``tolerance`` of its own size."""
    assert found.keys() == expected.keys(), (sorted(found.keys() - expected.keys())[:3],
                                             sorted(expected.keys() - found.keys())[:3])
    wrong = {name: error for name in expected
             if (error := np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(expected[name])) > tolerance}
    assert not wrong, (len(wrong), sorted(wrong.items())[:3])


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        return file.metadata() or {}


def write_kohya(path: Path, shapes: Mapping[str, tuple[int, ...]], ranks=4, alphas=2.0, seed: int = 0,
                dtype=np.float16, mid: bool = False) -> Path:
    """A kohya file: stem -> shape of the weight; rank and alpha for all, or by stem."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for stem, (out, inner, *kernel) in shapes.items():
        rank = ranks[stem] if isinstance(ranks, dict) else ranks
        alpha = alphas[stem] if isinstance(alphas, dict) else alphas
        with_mid = mid and any(size > 1 for size in kernel)
        down = (rank, inner, *([1] * len(kernel) if with_mid else kernel))
        tensors[f"{stem}.lora_down.weight"] = (rng.standard_normal(down) * 0.05).astype(dtype)
        tensors[f"{stem}.lora_up.weight"] = (rng.standard_normal((out, rank, *[1] * len(kernel))) * 0.05).astype(dtype)
        if with_mid:
            tensors[f"{stem}.lora_mid.weight"] = (rng.standard_normal((rank, rank, *kernel)) * 0.3).astype(dtype)
        if alpha is not None:
            tensors[f"{stem}.alpha"] = np.asarray(alpha, dtype)
    save_file(tensors, path)
    return path
