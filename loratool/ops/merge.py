"""The weighted sum of effective updates, as one adapter.

``T = sum_i w_i * (alpha_i / r_i) * up_i @ down_i`` per module; weights are linear and signed, as a
loader's strength. What is preserved: T, up to one rounding to the storage dtype; without a rank
rule nothing else is lost, because the factors stand side by side and only directions that carry
less than a tenth of the dtype's own rounding are dropped (equal inputs collapse to their own rank).
Names and order are the first input's; alpha is the rank (scale 1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter
from ..adapter.cover import Piece, cover, height_of, overlapping
from ..adapter.lora import LoraLayer
from ..errors import FamiliesDiffer, Unsound, UsageError
from ..metadata import peft
from ..naming.dialect import DIALECTS
from ..naming.families import family as load_family
from ..naming.keymap import keymap
from ..tensors.digest import digest
from ..tensors.dtypes import FLOATS, MANTISSA
from ..tensors.writer import TensorSpec
from . import gate, origin
from .configured import configuration
from .pack import alpha_bytes, alpha_spec, pack
from .plan import OutLayer, Plan, Produced, Report
from .resize import FixedRank
from .respell import FACTOR_NAMES

COLLAPSE = {"F64": 1e-8, "F32": 1e-8, "F16": 1e-5, "BF16": 1e-4}
"""Relative norm that the lossless collapse may drop: a tenth of the dtype's rounding at most."""
NOISE = 1e-12
"""What is left of updates that cancel, relative to the inputs, is rounding of float64."""


@dataclass(frozen=True)
class _Slot:
    """One output layer: its names, and what each input gives to it."""

    stem: str
    names: tuple[str, str]
    """Suffixes of up and down."""
    out: int
    pieces: tuple[tuple[float, Piece], ...]
    """Weight and piece."""
    has_alpha: bool

    @property
    def first(self) -> LoraLayer:
        return self.pieces[0][1].layer


def plan(adapters: Sequence[Adapter], weights: Sequence[float], rule: FixedRank | None = None,
         dtype: str | None = None, threads: int = 1) -> Plan:
    """Plan a merge. Reads all weights once, with ``threads`` workers, to learn the ranks.

    Raises FamiliesDiffer, Unsound, WouldLose; UsageError when weights and files do not pair up.
    """
    if len(weights) != len(adapters):
        raise UsageError(f"{len(adapters)} files need {len(adapters)} weights, not {len(weights)}",
                         hint="For example --weights 0.6,0.4 for two files.")
    for adapter in adapters:
        gate.require_sound(adapter)
        gate.only_lora(adapter, "a merge")
    family = _one_family(adapters)
    slots = _slots(adapters, weights, family)
    stored = dtype or _result_dtype(adapters)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        layers = list(pool.map(lambda slot: _layer(slot, rule, stored), slots))
    first = adapters[0]
    dialect = DIALECTS.get(first.key_format)
    folded = dialect is not None and dialect.alpha == "folded"
    order = [source.qualifier + info.name for source in first.sources for info in source.file.header.in_file_order()]
    metadata = _metadata(adapters, weights, layers, folded and not first.is_folder)
    return Plan("merge", tuple(adapters), family, first.key_format, first.is_folder, layers, (), metadata, order,
                _notes(slots, layers), stamp=True)


def _one_family(adapters: Sequence[Adapter]) -> str | None:
    """The family of all; None when nobody knows it, but all use the same names."""
    possible = [a.identification.possible for a in adapters]
    known = [p for p in possible if p]
    if not known:
        if len({a.key_format for a in adapters}) > 1:
            raise FamiliesDiffer("the base model is unknown and the files use different names",
                                 path=adapters[-1].path, hint="Files of an unknown family are paired by their names.")
        return None
    common = set.intersection(*known)
    if not common or len(known) < len(possible):
        titles = [" or ".join(load_family(f).title for f in sorted(p)) or "an unknown base model" for p in possible]
        raise FamiliesDiffer("adapters for different base models cannot be merged: "
                             + ", ".join(f"{a.path}: {t}" for a, t in zip(adapters, titles, strict=True)),
                             path=adapters[-1].path, hint="Merge adapters of one base model only.")
    named = {a.family for a in adapters if a.family}
    return named.pop() if named else None


def _key(adapter: Adapter, layer: LoraLayer) -> tuple[str, str]:
    return layer.address.whole if layer.address else ("", layer.stem)


def _slots(adapters: Sequence[Adapter], weights: Sequence[float], family: str | None) -> list[_Slot]:
    modules: dict[tuple[str, str], list[list[LoraLayer]]] = {}
    for number, adapter in enumerate(adapters):
        for layer in adapter.lora_layers:
            modules.setdefault(_key(adapter, layer), [[] for _ in adapters])[number].append(layer)
    slots: list[_Slot] = []
    for key, by_input in modules.items():
        slots += _module_slots(adapters[0], family, key, by_input, weights)
    return slots


def _module_slots(first: Adapter, family: str | None, key: tuple[str, str], by_input: list[list[LoraLayer]],
                  weights: Sequence[float]) -> list[_Slot]:
    every = [layer for layers in by_input for layer in layers]
    kernels = {(layer.inner, layer.kernel if layer.is_spatial else ()) for layer in every}
    if len(kernels) > 1:
        raise Unsound("the inputs have this module in different shapes", path=every[-1].file.path, key=every[-1].stem,
                      hint="`loratool validate` shows which file does not fit the base model.")
    if not key[0] or family is None:
        return [_slot(first, every[0].stem, None, every[0].out, by_input, weights)]
    keys = keymap(family)
    out = keys.trees[key[0]].modules[key[1]].shape[0]
    own = {layer.address: layer.stem for layer in by_input[0] if layer.address}
    dialect = DIALECTS.get(first.key_format)
    if own and (dialect is None or not _mixes(own, keys.targets(*key, dialect))):
        targets = [(stem, address) for address, stem in own.items() if address]
    elif dialect is not None:
        targets = [(own.get(address, name), address) for name, address in keys.targets(*key, dialect)]
    else:
        targets = [(layer.stem, layer.address) for layer in every[:1] if layer.address]
    found = [_slot(first, name, address.rows, out, by_input, weights) for name, address in targets]
    return [slot for slot in found if slot.pieces]


def _mixes(own: dict, targets: list) -> bool:  # type: ignore[type-arg]
    """Whether the dialect's own targets name the first input's layers (and perhaps more)."""
    return own.keys() <= {address for _, address in targets}


def _slot(first: Adapter, stem: str, rows: tuple[tuple[int, int], ...] | None, out: int,
          by_input: list[list[LoraLayer]], weights: Sequence[float]) -> _Slot:
    pieces: list[tuple[float, Piece]] = []
    target = height_of(rows, out)
    for weight, layers in zip(weights, by_input, strict=True):
        found = cover(layers, rows, out)
        if overlapping(found, target):
            raise Unsound("the module is in the file twice, in two spellings", path=layers[0].file.path,
                          key=layers[-1].stem, hint="Remove one of them: loaders differ in which they use.")
        pieces += [(weight, piece) for piece in found]
    twin = first.layers.get(stem) or first.lora_layers[0]
    up, down = twin.group.suffixes.get("up"), twin.group.suffixes.get("down")
    if up is None or down is None:
        up, down, _ = FACTOR_NAMES["kohya"]
    has_alpha = any("alpha" in layer.group.roles for layer in first.lora_layers) and twin.group.style != "peft"
    return _Slot(stem, (up, down), target, tuple(pieces), has_alpha or "alpha" in twin.group.roles)


def _result_dtype(adapters: Sequence[Adapter]) -> str:
    """The inputs' dtype if it is one, else the one with the longest mantissa."""
    found = {layer.dtype for adapter in adapters for layer in adapter.lora_layers}
    unknown = found - set(FLOATS)
    if unknown:
        raise Unsound(f"weights of dtype {unknown.pop()} cannot be computed with", path=adapters[0].path)
    return max(found, key=lambda d: MANTISSA[d])


def _sum(slot: _Slot) -> tuple[np.ndarray, np.ndarray, float]:
    """Factors of T, float64, and the sum of the norms of what is added.

    Inputs that share their ``down`` exactly are added in ``up``: the rank does not grow.
    """
    terms: list[tuple[np.ndarray, np.ndarray]] = []
    total = 0.0
    for weight, piece in slot.pieces:
        up, down = gate.factors(piece.layer)
        up = piece.place(up, slot.out) * (weight * piece.layer.scale)
        total += linalg.norm(up, down)
        for number, (other, shared) in enumerate(terms):
            if shared.shape == down.shape and np.array_equal(shared, down):
                terms[number] = (other + up, shared)
                break
        else:
            terms.append((up, down))
    up, down = linalg.stack(terms)
    return up, down, total


def _rank(slot: _Slot, rule: FixedRank | None, dtype: str) -> int:
    """The rank that T needs, or that the rule leaves it; at least 1."""
    up, down, total = _sum(slot)
    if not up.any():
        return 1
    core = linalg.core(up, down, exact=dtype in ("F32", "F64"))
    sigma = np.where(core.sigma > NOISE * total, core.sigma, 0.0)
    rank = linalg.numerical_rank(sigma, COLLAPSE.get(dtype, 1e-4))
    if rule is not None:
        wanted = rule.conv_rank if slot.first.is_spatial and rule.conv_rank is not None else rule.rank
        rank = min(rank, wanted)
    return max(rank, 1)


def _layer(slot: _Slot, rule: FixedRank | None, dtype: str) -> OutLayer:
    first = slot.first
    rank = _rank(slot, rule, dtype)
    down_info, up_info = first.info("down"), first.info("up")
    assert down_info and up_info
    kernel = first.kernel if first.has_mid else down_info.shape[2:]
    specs = {"up": TensorSpec(f"{slot.stem}.{slot.names[0]}", dtype, (slot.out, rank, *up_info.shape[2:])),
             "down": TensorSpec(f"{slot.stem}.{slot.names[1]}", dtype, (rank, down_info.shape[1], *kernel))}
    if slot.has_alpha:
        stored = first.info("alpha")
        specs["alpha"] = alpha_spec(f"{slot.stem}.alpha", float(rank), dtype, stored.shape if stored else ())
    qualifier, _, module = slot.stem.partition("base_model.model.")
    component, name = (qualifier.rstrip("."), module) if module else (slot.stem.partition(".")[0],
                                                                      slot.stem.partition(".")[2])
    return OutLayer(slot.stem, component, name, rank, float(rank), min(slot.out, first.inner), first.is_spatial,
                    tuple(specs.values()), lambda: _compute(slot, rank, dtype, specs, rule is not None))


def _compute(slot: _Slot, rank: int, dtype: str, specs: dict[str, TensorSpec], reduced: bool) -> Produced:
    up, down, _ = _sum(slot)
    optimum = 0.0
    if rank == up.shape[1]:
        new_up, new_down, norm = up, down, linalg.norm(up, down)
    else:
        core = linalg.core(up, down, exact=dtype in ("F32", "F64"))
        new_up, new_down = core.truncate(rank)
        norm, optimum = core.norm, core.tail(rank) if reduced else 0.0
    packed = pack(new_up, new_down, (dtype, dtype), specs["up"].name)
    error = linalg.distance(packed.up_seen, packed.down_seen, up, down)
    tensors = {specs["up"].name: packed.up, specs["down"].name: packed.down}
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], float(rank))
    before = max(piece.layer.rank for _, piece in slot.pieces)
    return Produced(tensors, Report(slot.stem, before, rank, error, optimum, norm, exact=error == 0.0))


def _notes(slots: Sequence[_Slot], layers: Sequence[OutLayer]) -> list[str]:
    collapsed = [layer for slot, layer in zip(slots, layers, strict=True)
                 if layer.rank < min(layer.limit, sum(p.layer.rank for _, p in slot.pieces))]
    if not collapsed:
        return []
    return [f"{len(collapsed)} of {len(layers)} modules have a lower rank than the inputs' ranks add up to"]


def _metadata(adapters: Sequence[Adapter], weights: Sequence[float], layers: Sequence[OutLayer],
              configured: bool) -> dict[str, str]:
    metadata = dict(adapters[0].metadata)
    metadata.pop(origin.KEY, None)
    before = metadata.pop(peft.HEADER_KEY, None)
    if configured:
        metadata[peft.HEADER_KEY] = configuration(layers, before)
    metadata["loratool.parents"] = json.dumps(
        [_parent(adapter, weight) for adapter, weight in zip(adapters, weights, strict=True)],
        sort_keys=True, separators=(",", ":"))
    return metadata


def _parent(adapter: Adapter, weight: float) -> dict[str, object]:
    """Where an input came from: base name and hashes, never its folder."""
    kept = ("ss_output_name", "ss_sd_model_name", "ss_network_dim", "ss_network_alpha", "modelspec.title",
            "modelspec.trigger_phrase", "modelspec.license", "modelspec.author")
    name = adapter.path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    parent: dict[str, object] = {"name": name, "weight": weight, "sha256": digest(adapter.file).sha256}
    parent |= {key: adapter.metadata[key] for key in kept if key in adapter.metadata}
    return parent
