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
from dataclasses import replace

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter
from ..adapter.spectrum import Spectrum
from ..errors import Unsound, UsageError
from ..metadata import peft
from ..naming.dialect import DIALECTS
from ..tensors.dtypes import BITS, FLOATS, MANTISSA
from ..tensors.writer import TensorSpec
from . import gate, origin, recipe, stamp
from .configured import configuration
from .pack import alpha_bytes, alpha_spec, pack
from .pairing import Slot, one_model, require_components, slots
from .plan import Conflict, OutLayer, Plan, Produced, Report
from .rules import PerLayer, RankRule, Ranks, lossless_rank
from .run import size_of

NOISE = 1e-12
"""What is left of updates that cancel, relative to the inputs, is rounding of float64."""


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
        gate.require_fit(adapter)
        gate.only_factored(adapter, "a merge")
    known, working = one_model(adapters)
    if working is not None:
        adapters = [adapter.resolved(working) for adapter in adapters]
    require_components(adapters, components or {})
    paired = slots(adapters, weights, components or {}, working)
    stored = dtype or _result_dtype(adapters)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        seen = list(pool.map(lambda slot: _look(slot, stored, len(adapters)), paired))
    made = rule or PerLayer("lossless")
    factors = {name: list(values) for name, values in (components or {}).items()}
    options = {"weights": list(weights), "dtype": dtype, "components": factors}
    kept = recipe.recipe("merge", adapters, made, options)

    def with_ranks(ranks: Ranks) -> Plan:
        layers = [_layer(slot, min(rank, max(1, lossless_rank(s))), stored, s, rule is not None)
                  for slot, rank, (s, _) in zip(paired, ranks, seen, strict=True)]
        return _assemble(adapters, weights, known, layers, kept)

    ranks = made.ranks([s for s, _ in seen], lambda ranks: size_of(with_ranks(ranks)))
    planned = with_ranks(ranks)
    return replace(planned, notes=_notes(paired, planned.layers), conflict=_conflict([g for _, g in seen]))


def _assemble(adapters: Sequence[Adapter], weights: Sequence[float], model: str | None, layers: Sequence[OutLayer],
              kept: dict[str, object]) -> Plan:
    first = adapters[0]
    dialect = DIALECTS.get(first.key_format)
    metadata = stamp.as_lora(first.metadata) | {recipe.PARENTS: recipe.parents(adapters, weights, hashed=False)}
    metadata.pop(origin.KEY, None)
    before = metadata.pop(peft.HEADER_KEY, None)
    if dialect is not None and dialect.alpha == "folded" and not first.is_folder:
        metadata[peft.HEADER_KEY] = configuration(layers, model, before)
    return Plan("merge", tuple(adapters), model, first.key_format, first.is_folder, layers, (), metadata, first.keys,
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


def _result_dtype(adapters: Sequence[Adapter]) -> str:
    """The inputs' dtype if it is one, else the one with the longest mantissa."""
    found = {layer.dtype for adapter in adapters for layer in adapter.factored_layers}
    unknown = found - set(FLOATS)
    if unknown:
        raise Unsound(f"weights of dtype {unknown.pop()} cannot be computed with", path=adapters[0].path)
    return max(found, key=lambda d: MANTISSA[d])


def _parts(slot: Slot) -> list[tuple[int, np.ndarray, np.ndarray]]:
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


def _look(slot: Slot, dtype: str, inputs: int) -> tuple[Spectrum, np.ndarray]:
    """The spectrum of the slot's sum, and the inner products [inputs, inputs] of its parts."""
    parts = _parts(slot)
    up, down = linalg.stack([(up, down) for _, up, down in parts])
    with np.errstate(over="ignore", invalid="ignore"):
        grams = up.T @ up, down @ down.T
    if not all(np.isfinite(gram).all() for gram in grams):
        raise gate.too_large(slot.first)
    # The inner product of two parts is the sum over their block of both Gram matrices.
    owner = np.repeat([number for number, _, _ in parts], [part.shape[1] for _, part, _ in parts])
    member = (owner[:, None] == np.arange(inputs)).astype(np.float64)
    gram = member.T @ (grams[0] * grams[1]) @ member
    summed = _sum(parts)
    known = grams if summed[0].shape == up.shape else None
    exact = dtype in linalg.FINE
    sigma = gate.core(slot.first, lambda: linalg.core(*summed, exact, known)).sigma if summed[0].any() else np.zeros(1)
    sigma = np.where(sigma > NOISE * np.sqrt(np.clip(np.diagonal(gram), 0.0, None)).sum(), sigma, 0.0)
    return Spectrum(slot.stem, sigma, slot.out, slot.first.inner, summed[0].shape[1], slot.first.is_spatial, dtype,
                    BITS[dtype] / 8), gram


def _layer(slot: Slot, rank: int, dtype: str, found: Spectrum, reduced: bool) -> OutLayer:
    first = slot.first
    up_shape, down_shape = first.as_lora(rank)
    specs = {"up": TensorSpec(f"{slot.stem}.{slot.names[0]}", dtype, (slot.out, *up_shape[1:])),
             "down": TensorSpec(f"{slot.stem}.{slot.names[1]}", dtype, down_shape)}
    if slot.has_alpha:
        stored = first.info("alpha")
        specs["alpha"] = alpha_spec(f"{slot.stem}.alpha", float(rank), dtype, stored.shape if stored else ())
    return OutLayer(slot.stem, *peft.split_stem(slot.stem), rank, float(rank), min(slot.out, first.inner),
                    first.is_spatial, first.address, tuple(specs.values()),
                    lambda: _compute(slot, rank, dtype, specs, found, reduced),
                    _predict(slot, rank, found))


def _predict(slot: Slot, rank: int, found: Spectrum) -> Report:
    tail = found.tail(rank)
    return Report(slot.stem, _highest(slot), rank, tail, tail, found.norm, exact=False)


def _highest(slot: Slot) -> int:
    return max(piece.layer.rank for _, _, piece in slot.pieces)


def _compute(slot: Slot, rank: int, dtype: str, specs: dict[str, TensorSpec], found: Spectrum,
             reduced: bool) -> Produced:
    up, down = _sum(_parts(slot))
    new_up, new_down, optimum = up, down, 0.0
    if rank < up.shape[1]:
        core = gate.core(slot.first, lambda: linalg.core(up, down, exact=dtype in linalg.FINE))
        new_up, new_down = core.truncate(rank)
        optimum = core.tail(rank) if reduced else 0.0
    packed = pack(new_up, new_down, (dtype, dtype), specs["up"].name)
    error = linalg.distance(packed.up_seen, packed.down_seen, up, down)
    tensors = {specs["up"].name: packed.up, specs["down"].name: packed.down}
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], float(rank))
    return Produced(tensors, Report(slot.stem, _highest(slot), rank, error, optimum, found.norm, exact=error == 0.0))


def _notes(slots: Sequence[Slot], layers: Sequence[OutLayer]) -> list[str]:
    collapsed = [layer for slot, layer in zip(slots, layers, strict=True)
                 if layer.rank < min(layer.limit, sum(p.layer.rank for _, _, p in slot.pieces))]
    if not collapsed:
        return []
    return [f"{len(collapsed)} of {len(layers)} modules have a lower rank than the inputs' ranks add up to"]
