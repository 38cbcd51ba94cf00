"""Small adapter files of real modules, and an independent reading of what they do.

``effects`` shares no code with the program: it takes the official reader and applies the
definition ``alpha / rank * up @ down`` in float64.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from loratool.adapter.adapter import Adapter
from loratool.ops import convert, merge, resize, run
from loratool.ops.rules import FixedRank
from loratool.tensors.policy import Policy

DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
UNIT = {"F16": 2.0 ** -11, "BF16": 2.0 ** -8, "F32": 2.0 ** -24}
"""Unit roundoff."""

SD1 = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"
Q, K, OUT = SD1 + "attn1_to_q", SD1 + "attn1_to_k", SD1 + "attn1_to_out_0"
CROSS = SD1 + "attn2_to_k"
PROJ = "lora_unet_down_blocks_0_attentions_0_proj_in"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
LAST = "lora_unet_conv_out"
TE = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
SHAPES = {Q: (320, 320), K: (320, 320), OUT: (320, 320), CROSS: (320, 768), PROJ: (320, 320, 1, 1),
          CONV: (320, 320, 3, 3), LAST: (4, 320, 3, 3), TE: (768, 768)}
"""Modules of Stable Diffusion 1, their weights' shapes."""


def layer(stem: str, shape, rank: int, alpha: float | None = None, dtype="F16", seed=0, size=0.1,
          style="kohya", spectrum=None, alpha_dtype=None) -> dict[str, torch.Tensor]:
    """The tensors of one LoRA layer. ``spectrum``: factors of the columns of up."""
    rng = np.random.default_rng([seed, *stem.encode()])
    up = rng.standard_normal((shape[0], rank)) * size
    if spectrum is not None:
        up = up * np.asarray(spectrum)
    down = rng.standard_normal((rank, *shape[1:])) * size
    if len(shape) > 2:
        up = up.reshape(*up.shape, *[1] * (len(shape) - 2))
    names = {"kohya": ("lora_up.weight", "lora_down.weight"), "peft": ("lora_B.weight", "lora_A.weight")}[style]
    found = {f"{stem}.{names[0]}": torch.from_numpy(up).to(DTYPES[dtype]),
             f"{stem}.{names[1]}": torch.from_numpy(down).to(DTYPES[dtype])}
    if alpha is not None:
        found[f"{stem}.alpha"] = torch.tensor(alpha, dtype=DTYPES[alpha_dtype or dtype])
    return found


def sd1(stems, rank=8, alpha: float | None = 4.0, **options) -> dict[str, torch.Tensor]:
    found = {}
    for stem in stems:
        found |= layer(stem, SHAPES[stem], rank, alpha, **options)
    return found


def save(path, tensors, metadata=None) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, str(path), metadata=metadata or {})
    return str(path)


def tensors_of(path) -> dict[str, torch.Tensor]:
    return load_file(str(path))


def metadata_of(path) -> dict[str, str]:
    with safe_open(str(path), framework="numpy") as file:
        return dict(file.metadata() or {})


def same(one, other) -> bool:
    """Bit for bit: names, dtypes, shapes, bytes (a zero's sign too)."""
    a, b = (tensors_of(x) if not isinstance(x, dict) else x for x in (one, other))
    return a.keys() == b.keys() and all(identical(a[k], b[k]) for k in a)


def identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.dtype == b.dtype and a.shape == b.shape
            and a.contiguous().view(torch.uint8).equal(b.contiguous().view(torch.uint8))
            if a.dim() else a.dtype == b.dtype and b.dim() == 0 and bool(a == b))


_SUFFIX = re.compile(r"\.(lora_up|lora_down|lora_mid|lora_A|lora_B)\.weight$|\.alpha$")
_ROLE = {"lora_up": "up", "lora_B": "up", "lora_down": "down", "lora_A": "down", "lora_mid": "mid", None: "alpha"}


def factors(path, alphas=None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stem -> float64 (scale * up, down), flat. ``alphas``: stem -> alpha where no tensor says it."""
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in (tensors_of(path) if not isinstance(path, dict) else path).items():
        found = _SUFFIX.search(key)
        if found:
            grouped.setdefault(key[:found.start()], {})[_ROLE[found[1]]] = tensor.double().numpy()
    result = {}
    for stem, part in grouped.items():
        up = part["up"].reshape(part["up"].shape[0], -1)
        rank = up.shape[1]
        if "mid" in part:
            down = np.einsum("pnhw,nj->pjhw", part["mid"], part["down"].reshape(part["down"].shape[0], -1))
        else:
            down = part["down"]
        alpha = float(part["alpha"]) if "alpha" in part else (alphas or {}).get(stem, rank)
        result[stem] = (alpha / rank * up, down.reshape(rank, -1))
    return result


def effects(path, alphas=None) -> dict[str, np.ndarray]:
    """Stem -> the dense float64 update."""
    return {stem: up @ down for stem, (up, down) in factors(path, alphas).items()}


def header_alphas(path) -> dict[str, float]:
    """What PEFT would take as alpha from ``lora_adapter_metadata``, per stem; rsLoRA as alpha * sqrt(r)."""
    document = json.loads(metadata_of(path)["lora_adapter_metadata"])
    components = {key.rpartition(".")[0] for key in document}
    ranks = {k[:-len(".lora_A.weight")]: v.shape[0] for k, v in tensors_of(path).items()
             if k.endswith(".lora_A.weight")}
    return {stem: _alpha(document, stem, rank, components) for stem, rank in ranks.items()}


def _alpha(document, stem, rank, components):
    component = next(c for c in sorted(components, key=len, reverse=True) if stem.startswith(c))
    prefix = component + "." if component else ""
    fields = {k[len(prefix):]: v for k, v in document.items() if k.startswith(prefix)}
    return config_alpha(fields, stem[len(prefix):], rank)


def config_alpha(fields, module, rank):
    """peft's own pattern rule (``get_pattern_key``), written again."""
    alpha = fields["lora_alpha"]
    for pattern, value in fields.get("alpha_pattern", {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = value
            break
    return alpha * rank ** 0.5 if fields.get("use_rslora") else alpha


def config_rank(fields, module):
    for pattern, value in fields.get("rank_pattern", {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return fields["r"]


def norm(deltas) -> float:
    return float(np.sqrt(sum(np.square(d).sum() for d in deltas)))


def relative(got: dict, true: dict) -> float:
    """Relative Frobenius error of a whole adapter; the modules must be the same."""
    assert got.keys() == true.keys()
    return norm(got[k] - true[k] for k in true) / norm(true.values())


def optimum(true: dict, ranks: dict) -> float:
    """Eckart-Young over all modules by dense singular values."""
    lost = [np.linalg.svd(true[k], compute_uv=False)[ranks[k]:] for k in true]
    return norm(lost) / norm(true.values())


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def do_resize(source, target, rank, conv_rank=None, alpha="keep", overwrite=False, threads=1, **policy):
    with Adapter.open(str(source)) as adapter:
        planned = resize.plan(adapter, FixedRank(rank, conv_rank), alpha)
        return run.execute(planned, str(target), Policy(overwrite=overwrite, **policy), threads)


def do_convert(source, target, to, drop=False, overwrite=False, threads=1, family="flux1"):
    """``family`` decides for the few modules of FLUX.1 that Chroma and others have too, and nothing else."""
    with Adapter.open(str(source), family) as adapter:
        return run.execute(convert.plan(adapter, to, drop), str(target), Policy(overwrite=overwrite), threads)


def do_merge(sources, weights, target, rank=None, conv_rank=None, dtype=None, threads=1, overwrite=False):
    adapters = [Adapter.open(str(s)) for s in sources]
    try:
        rule = FixedRank(rank, conv_rank) if rank else None
        planned = merge.plan(adapters, weights, rule, dtype, threads=threads)
        return run.execute(planned, str(target), Policy(overwrite=overwrite), threads)
    finally:
        for adapter in adapters:
            adapter.close()


def key_order(path) -> list[str]:
    """The tensors' names in the order of their bytes, from the raw header."""
    raw = Path(path).read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    header.pop("__metadata__", None)
    return sorted(header, key=lambda name: (header[name]["data_offsets"], list(header).index(name)))


def probed(parts: dict[str, tuple[np.ndarray, np.ndarray]], columns=6, seed=11) -> dict[str, np.ndarray]:
    """Stem -> the update times a random matrix: large updates compared without being formed.

    Each rank is added on its own and in order, so that zero blocks around a factor change no bit.
    """
    return {stem: _probe(up, down, np.random.default_rng([seed, down.shape[1]]).standard_normal((down.shape[1], columns)))
            for stem, (up, down) in parts.items()}


def _probe(up, down, vectors):
    total = np.zeros((up.shape[0], vectors.shape[1]))
    for column, row in zip(up.T, down, strict=True):
        total += np.outer(column, row @ vectors)
    return total


FLUX_ROWS = {
    "double_blocks.0.img_attn.qkv": {f"transformer_blocks.0.attn.to_{c}": (i * 3072, (i + 1) * 3072)
                                     for i, c in enumerate("qkv")},
    "double_blocks.0.txt_attn.qkv": {f"transformer_blocks.0.attn.add_{c}_proj": (i * 3072, (i + 1) * 3072)
                                     for i, c in enumerate("qkv")},
    "single_blocks.0.linear1": {**{f"single_transformer_blocks.0.attn.to_{c}": (i * 3072, (i + 1) * 3072)
                                   for i, c in enumerate("qkv")},
                                "single_transformer_blocks.0.proj_mlp": (9216, 21504)},
    "double_blocks.0.img_attn.proj": {"transformer_blocks.0.attn.to_out.0": (0, 3072)},
    "single_blocks.0.modulation.lin": {"single_transformer_blocks.0.norm.linear": (0, 9216)},
    "final_layer.linear": {"proj_out": (0, 64)},
    "img_in": {"x_embedder": (0, 3072)},
}
"""FLUX.1: native module -> diffusers module -> its native rows. ``norm_out.linear`` stands apart: its halves
are exchanged."""
FLUX_SHAPES = {"double_blocks.0.img_attn.qkv": (9216, 3072), "double_blocks.0.txt_attn.qkv": (9216, 3072),
               "single_blocks.0.linear1": (21504, 3072), "double_blocks.0.img_attn.proj": (3072, 3072),
               "single_blocks.0.modulation.lin": (9216, 3072), "final_layer.linear": (64, 3072), "img_in": (3072, 64),
               "final_layer.adaLN_modulation.1": (6144, 3072)}


def native(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Probed updates of FLUX.1 modules by native name, rows put together; an absent part is zero."""
    flat = {name.replace(".", "_"): name for name in FLUX_SHAPES}
    places = {part: (name, rows) for name, parts in FLUX_ROWS.items() for part, rows in parts.items()}
    whole: dict[str, np.ndarray] = {}
    for stem, value in seen.items():
        name = stem.removeprefix("lora_unet_").removeprefix("diffusion_model.").removeprefix("base_model.model.")
        name = name.removeprefix("transformer.")
        name = flat.get(name, name)
        if name == "norm_out.linear":
            whole["final_layer.adaLN_modulation.1"] = np.concatenate([value[3072:], value[:3072]])
        elif name in FLUX_SHAPES:
            whole[name] = value
        else:
            module, (begin, end) = places[name]
            whole.setdefault(module, np.zeros((FLUX_SHAPES[module][0], value.shape[1])))[begin:end] = value
    return whole


def flux(modules, rank=2, alpha: float | None = 1.0, dtype="F16", seed=0) -> dict[str, torch.Tensor]:
    """Kohya tensors of native FLUX.1 modules. ``rank`` and ``alpha``: a number, or by module."""
    found = {}
    for name in modules:
        own = rank[name] if isinstance(rank, dict) else rank
        found |= layer("lora_unet_" + name.replace(".", "_"), FLUX_SHAPES[name], own,
                       alpha[name] if isinstance(alpha, dict) else alpha, dtype, seed)
    return found


def flux_split(parts, rank=2, dtype="F16", seed=0) -> dict[str, torch.Tensor]:
    """Diffusers tensors (no alpha) of diffusers FLUX.1 modules; ``rank``: a number, or by module."""
    sizes = {part: (rows[1] - rows[0], FLUX_SHAPES[name][1]) for name, ps in FLUX_ROWS.items() for part, rows in ps.items()}
    sizes["norm_out.linear"] = (6144, 3072)
    found = {}
    for part in parts:
        found |= layer("transformer." + part, sizes[part], rank[part] if isinstance(rank, dict) else rank, None, dtype,
                       seed, style="peft")
    return found
