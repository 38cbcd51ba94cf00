"""The weighted sum of effective updates, as one adapter.

``T = sum_i w_i * (alpha_i / r_i) * up_i @ down_i`` per module; weights are linear and signed, as a
loader's strength. What is preserved: T, up to one rounding to the storage dtype; without a rank
rule nothing else is lost, because the factors stand side by side and only directions that carry
less than a tenth of the dtype's own rounding are dropped (equal inputs collapse to their own rank).
Names and order are the first input's; alpha is the rank (scale 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter
from ..adapter.cover import Piece, cover, height_of, overlapping
from ..adapter.lora import LoraLayer
from ..adapter.spectrum import Spectrum
from ..errors import FamiliesDiffer, Unsound, UsageError
from ..metadata import peft
from ..naming.address import DENOISER
from ..naming.dialect import DIALECTS
from ..naming.families import family as load_family
from ..naming.keymap import keymap
from ..tensors.dtypes import BITS, FLOATS, MANTISSA
from ..tensors.writer import TensorSpec
from . import gate, origin, recipe
from .configured import configuration
from .pack import alpha_bytes, alpha_spec, pack
from .plan import Conflict, OutLayer, Plan, Produced, Report
from .respell import FACTOR_NAMES
from .rules import PerLayer, RankRule, Ranks, lossless_rank
from .run import size_of

NOISE = 1e-12
"""What is left of updates that cancel, relative to the inputs, is rounding of float64."""


@dataclass(frozen=True)
class _Slot:
    """One output layer: its names, and what each input gives to it."""

    stem: str
    names: tuple[str, str]
    """Suffixes of up and down."""
    out: int
    pieces: tuple[tuple[int, float, Piece], ...]
    """Number of the input, weight, piece."""
    has_alpha: bool

    @property
    def first(self) -> LoraLayer:
        return self.pieces[0][2].layer


def plan(adapters: Sequence[Adapter], weights: Sequence[float], rule: RankRule | None = None,
         dtype: str | None = None, threads: int = 1, components: Mapping[str, Sequence[float]] | None = None) -> Plan:
    """Plan a merge. Reads all weights once, with ``threads`` workers, to learn the spectra of the sum.

    ``rule`` None: exact. ``components``: factors per input for one component (or ``te``: all text
    encoders). Raises FamiliesDiffer, Unsound, WouldLose; UsageError when weights and files do not
    pair up.
    """
    for name, values in {"": weights, **(components or {})}.items():
        if len(values) != len(adapters):
            raise UsageError(f"{len(adapters)} files need {len(adapters)} weights{name and ' for ' + name}, not "
                             f"{len(values)}", hint="For example --weights 0.6,0.4 for two files.")
    for adapter in adapters:
        gate.require_sound(adapter)
        gate.only_lora(adapter, "a merge")
    family, working = _one_family(adapters)
    if working is not None:
        adapters = [adapter.resolved(working) for adapter in adapters]
    _known_components(adapters, components or {})
    slots = _slots(adapters, weights, components or {}, working)
    stored = dtype or _result_dtype(adapters)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        seen = list(pool.map(lambda slot: _look(slot, stored, len(adapters)), slots))
    made = rule or PerLayer("lossless")
    factors = {name: list(values) for name, values in (components or {}).items()}
    options = {"weights": list(weights), "dtype": dtype, "components": factors}
    kept = recipe.recipe("merge", adapters, made, options)

    def with_ranks(ranks: Ranks) -> Plan:
        layers = [_layer(slot, min(rank, max(1, lossless_rank(s))), stored, s, rule is not None)
                  for slot, rank, (s, _) in zip(slots, ranks, seen, strict=True)]
        return _assemble(adapters, weights, family, layers, kept)

    ranks = made.ranks([s for s, _ in seen], lambda ranks: size_of(with_ranks(ranks)))
    planned = with_ranks(ranks)
    return replace(planned, notes=_notes(slots, planned.layers), conflict=_conflict([g for _, g in seen]))


def _assemble(adapters: Sequence[Adapter], weights: Sequence[float], family: str | None, layers: Sequence[OutLayer],
              kept: dict[str, object]) -> Plan:
    first = adapters[0]
    dialect = DIALECTS.get(first.key_format)
    metadata = dict(first.metadata) | {recipe.PARENTS: recipe.parents(adapters, weights, hashed=False)}
    metadata.pop(origin.KEY, None)
    before = metadata.pop(peft.HEADER_KEY, None)
    if dialect is not None and dialect.alpha == "folded" and not first.is_folder:
        metadata[peft.HEADER_KEY] = configuration(layers, family, before)
    order = [source.qualifier + info.name for source in first.sources for info in source.file.header.in_file_order()]
    return Plan("merge", tuple(adapters), family, first.key_format, first.is_folder, layers, (), metadata, order,
                late={recipe.PARENTS: lambda: recipe.parents(adapters, weights)}, recipe=kept)


def _conflict(grams: Sequence[np.ndarray]) -> Conflict:
    """From the inner products of the inputs' parts, summed over modules."""
    gram = np.sum(grams, axis=0)
    norms = np.sqrt(np.clip(np.diagonal(gram), 0.0, None))
    scale = np.outer(norms, norms)
    cosines = np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0).clip(-1.0, 1.0)
    unrelated = float(np.square(norms).sum())
    gain = float(np.sqrt(max(0.0, float(gram.sum())) / unrelated)) if unrelated else 0.0
    return Conflict(tuple(map(float, norms)), tuple(tuple(map(float, row)) for row in cosines), gain)


def _known_components(adapters: Sequence[Adapter], told: Mapping[str, Sequence[float]]) -> None:
    present = {layer.address.component for a in adapters for layer in a.lora_layers if layer.address}
    for name in told:
        if name not in present | {"te"}:
            raise UsageError(f"no input has a component {name!r}",
                             hint="There are: " + ", ".join(["te", *sorted(present)]))


def _one_family(adapters: Sequence[Adapter]) -> tuple[str | None, str | None]:
    """The family of all, and the one whose tables pair the layers.

    They differ where all files fit the same several families: then any of these pairs them alike.
    Both are None when nobody knows the family, but all use the same names.
    """
    possible = [a.identification.possible if a.identification.confidence != "unknown" else set() for a in adapters]
    if not any(possible):
        if len({a.key_format for a in adapters}) > 1:
            raise FamiliesDiffer("the base model is unknown and the files use different names",
                                 path=adapters[-1].path, hint="Files of an unknown family are paired by their names.")
        return None, None
    common = set.intersection(*possible)
    if not common:
        titles = [" or ".join(load_family(f).title for f in sorted(p)) or "an unknown base model" for p in possible]
        raise FamiliesDiffer("adapters for different base models cannot be merged: "
                             + ", ".join(f"{a.path}: {t}" for a, t in zip(adapters, titles, strict=True)),
                             path=adapters[-1].path, hint="Merge adapters of one base model only.")
    named = next((a.family for a in adapters if a.family in common), None)
    working = named or sorted(common)[0]
    return (working if named or len(common) == 1 else None), working


def _key(adapter: Adapter, layer: LoraLayer) -> tuple[str, str]:
    return layer.address.whole if layer.address else ("", layer.stem)


def _slots(adapters: Sequence[Adapter], weights: Sequence[float], components: Mapping[str, Sequence[float]],
           family: str | None) -> list[_Slot]:
    modules: dict[tuple[str, str], list[list[LoraLayer]]] = {}
    for number, adapter in enumerate(adapters):
        for layer in adapter.lora_layers:
            modules.setdefault(_key(adapter, layer), [[] for _ in adapters])[number].append(layer)
    slots: list[_Slot] = []
    for key, by_input in modules.items():
        slots += _module_slots(adapters[0], family, key, by_input, _weights_of(key[0], weights, components))
    return slots


def _weights_of(component: str, weights: Sequence[float], factors: Mapping[str, Sequence[float]]) -> list[float]:
    """The weights that hold for a component: each of its names multiplies."""
    names = {component} | ({"te"} if component != DENOISER else set())
    found = list(weights)
    for name in names & factors.keys():
        found = [w * f for w, f in zip(found, factors[name], strict=True)]
    return found


def _module_slots(first: Adapter, family: str | None, key: tuple[str, str], by_input: list[list[LoraLayer]],
                  weights: Sequence[float]) -> list[_Slot]:
    every = [layer for layers in by_input for layer in layers]
    kernels = {(layer.inner, layer.kernel if layer.is_spatial else ()) for layer in every}
    if len(kernels) > 1:
        raise Unsound("the inputs have this module in different shapes", path=every[-1].file.path, key=every[-1].stem,
                      hint="`loratool validate` shows which file does not fit the base model.")
    if not key[0] or family is None:
        heights = {layer.out for layer in every}
        if len(heights) > 1:
            raise Unsound(f"the inputs have this layer with {' and '.join(map(str, sorted(heights)))} rows",
                          path=every[-1].file.path, key=every[-1].stem)
        return [_slot(first, every[0].stem, None, every[0].out, by_input, weights)]
    keys = keymap(family)
    out = keys.trees[key[0]].modules[key[1]].shape[0]
    gate.require_height(every, out)
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
    pieces: list[tuple[int, float, Piece]] = []
    target = height_of(rows, out)
    for number, (weight, layers) in enumerate(zip(weights, by_input, strict=True)):
        found = cover(layers, rows, out)
        if overlapping(found, target):
            raise Unsound("the module is in the file twice, in two spellings", path=layers[0].file.path,
                          key=layers[-1].stem, hint="Remove one of them: loaders differ in which they use.")
        pieces += [(number, weight, piece) for piece in found]
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


def _parts(slot: _Slot) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Each piece as (number of the input, up [out, r], down), float64, weight and scale in ``up``."""
    found = []
    for number, weight, piece in slot.pieces:
        up, down = gate.factors(piece.layer)
        found.append((number, piece.place(up, slot.out) * (weight * piece.layer.scale), down))
    return found


def _sum(parts: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Factors of T. Inputs that share their ``down`` exactly are added in ``up``: the rank does not grow."""
    terms: list[tuple[np.ndarray, np.ndarray]] = []
    for _, up, down in parts:
        for number, (other, shared) in enumerate(terms):
            if shared.shape == down.shape and np.array_equal(shared, down):
                terms[number] = (other + up, shared)
                break
        else:
            terms.append((up, down))
    return linalg.stack(terms)


def _look(slot: _Slot, dtype: str, inputs: int) -> tuple[Spectrum, np.ndarray]:
    """The spectrum of the slot's sum, and the inner products [inputs, inputs] of its parts."""
    parts = _parts(slot)
    up, down = linalg.stack([(up, down) for _, up, down in parts])
    grams = up.T @ up, down @ down.T
    # The inner product of two parts is the sum over their block of both Gram matrices.
    owner = np.repeat([number for number, _, _ in parts], [part.shape[1] for _, part, _ in parts])
    member = (owner[:, None] == np.arange(inputs)).astype(np.float64)
    gram = member.T @ (grams[0] * grams[1]) @ member
    summed = _sum(parts)
    known = grams if summed[0].shape == up.shape else None
    exact = dtype in ("F32", "F64")
    sigma = linalg.core(*summed, exact, known).sigma if summed[0].any() else np.zeros(1)
    sigma = np.where(sigma > NOISE * np.sqrt(np.clip(np.diagonal(gram), 0.0, None)).sum(), sigma, 0.0)
    return Spectrum(slot.stem, sigma, slot.out, slot.first.inner, summed[0].shape[1], slot.first.is_spatial, dtype,
                    BITS[dtype] / 8), gram


def _layer(slot: _Slot, rank: int, dtype: str, found: Spectrum, reduced: bool) -> OutLayer:
    first = slot.first
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
                    tuple(specs.values()), lambda: _compute(slot, rank, dtype, specs, found, reduced),
                    _predict(slot, rank, found))


def _predict(slot: _Slot, rank: int, found: Spectrum) -> Report:
    tail = float(np.sqrt(np.square(found.sigma[rank:]).sum()))
    return Report(slot.stem, _highest(slot), rank, tail, tail, found.norm, exact=False)


def _highest(slot: _Slot) -> int:
    return max(piece.layer.rank for _, _, piece in slot.pieces)


def _compute(slot: _Slot, rank: int, dtype: str, specs: dict[str, TensorSpec], found: Spectrum,
             reduced: bool) -> Produced:
    up, down = _sum(_parts(slot))
    new_up, new_down, optimum = up, down, 0.0
    if rank < up.shape[1]:
        core = linalg.core(up, down, exact=dtype in ("F32", "F64"))
        new_up, new_down = core.truncate(rank)
        optimum = core.tail(rank) if reduced else 0.0
    packed = pack(new_up, new_down, (dtype, dtype), specs["up"].name)
    error = linalg.distance(packed.up_seen, packed.down_seen, up, down)
    tensors = {specs["up"].name: packed.up, specs["down"].name: packed.down}
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], float(rank))
    return Produced(tensors, Report(slot.stem, _highest(slot), rank, error, optimum, found.norm, exact=error == 0.0))


def _notes(slots: Sequence[_Slot], layers: Sequence[OutLayer]) -> list[str]:
    collapsed = [layer for slot, layer in zip(slots, layers, strict=True)
                 if layer.rank < min(layer.limit, sum(p.layer.rank for _, _, p in slot.pieces))]
    if not collapsed:
        return []
    return [f"{len(collapsed)} of {len(layers)} modules have a lower rank than the inputs' ranks add up to"]
