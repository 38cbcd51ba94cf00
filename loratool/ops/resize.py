"""Lower the rank: each layer's best approximation, in the file's own dialect and alpha convention.

What is preserved: the ratio alpha / rank of each LoRA layer, hence the strength in a prompt; every
tensor of a layer that has the rank already, bit for bit. What is lost: the smallest singular
values; the error is the least that the rank allows (Eckart-Young) up to one rounding.

Layers of other algorithms that have factors (LoHa, LoKr) become LoRA layers of scale 1 where their rank is
lowered: their own form holds no other rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter, Source
from ..adapter.factored import FactoredLayer
from ..adapter.lora import LoraLayer
from ..adapter.spectrum import Spectrum
from ..errors import WouldLose
from ..metadata import peft
from ..naming.dialect import DIALECTS
from ..tensors.dtypes import BITS
from ..tensors.writer import TensorSpec
from . import gate, origin, recipe, stamp
from .configured import configuration
from .pack import alpha_bytes, alpha_seen, alpha_spec, pack
from .plan import Carried, OutLayer, Plan, Produced, Report
from .respell import lora_names
from .rules import FixedRank, RankRule, Ranks
from .run import size_of

CONFIGURED = ("metadata", "adapter_config")
"""Where an alpha comes from that is no tensor."""


def plan(adapter: Adapter, rule: RankRule, alpha: str = "keep", threads: int = 1, predict: bool = False) -> Plan:
    """Plan a resize. ``alpha`` keep: the ratio alpha / rank stays; rank: alpha becomes the rank.

    A fixed rank is planned from the header; other rules, and ``predict``, which asks for the error beforehand,
    read the weights once for their spectra.
    Raises Unsound and WouldLose for what cannot be resized.
    """
    gate.require_sound(adapter)
    if not adapter.factored_layers:
        first = adapter.carried[0]
        raise WouldLose(f"no layer has factors ({first.why}): there is no rank to lower",
                        path=adapter.path, key=first.stem)
    if isinstance(rule, FixedRank) and not predict:
        return _maker(adapter, rule, alpha)([
            rule.of(layer.rank, min(layer.rank, layer.out, layer.inner), layer.is_spatial)
            for layer in adapter.factored_layers])
    return plan_from(adapter, rule, spectra(adapter.factored_layers, threads), alpha)


def plan_from(adapter: Adapter, rule: RankRule, found: Sequence[Spectrum], alpha: str = "keep") -> Plan:
    """As ``plan``, where the spectra of all layers that have factors are known already."""
    with_ranks = _maker(adapter, rule, alpha)
    planned = with_ranks(rule.ranks(found, lambda ranks: size_of(with_ranks(ranks))))
    predicted = [replace(layer, predicted=_predict(layer, s, _is_kept(old, layer)))
                 for old, layer, s in zip(adapter.factored_layers, planned.layers, found, strict=True)]
    return replace(planned, layers=predicted)


def _maker(adapter: Adapter, rule: RankRule, alpha: str) -> Callable[[Ranks], Plan]:
    """What makes the plan once the ranks are known."""
    notes: list[str] = []
    if _cannot_follow(adapter):
        alpha = "rank"
        notes.append("the scale of adapter_config.json was folded into the weights: the file stands alone")
    made = recipe.recipe("resize", [adapter], rule, {"alpha": alpha})
    return lambda ranks: _assemble(adapter, ranks, alpha, notes, made)


def spectra(layers: Sequence[FactoredLayer], threads: int) -> list[Spectrum]:
    """The singular values of all updates. Reads the weights once."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(spectrum, layers))


def spectrum(layer: FactoredLayer) -> Spectrum:
    """The singular values of one effective update."""
    sigma = gate.core(layer).sigma * abs(layer.scale)
    return Spectrum(layer.stem, np.asarray(sigma), layer.out, layer.inner, layer.rank, layer.is_spatial, layer.dtype,
                    BITS[layer.dtype] / 8)


def _predict(layer: OutLayer, found: Spectrum, kept: bool) -> Report:
    """The error before rounding; exact where the tensors are copied, for nothing else is free of rounding."""
    tail = found.tail(layer.rank)
    return Report(layer.stem, found.rank, layer.rank, tail, tail, found.norm, exact=kept)


def _is_kept(layer: FactoredLayer, made: OutLayer) -> bool:
    """Whether the layer is written as it was."""
    if not isinstance(layer, LoraLayer):
        return made.algorithm == layer.algorithm
    return _is_same(layer, made.rank, made.alpha)


def _is_same(layer: LoraLayer, rank: int, alpha: float) -> bool:
    return rank == layer.rank and alpha == layer.alpha.value


def _assemble(adapter: Adapter, ranks: Ranks, alpha: str, told: Sequence[str], made: dict[str, object]) -> Plan:
    notes = list(told)
    layers = [_layer(layer, adapter.source_of(layer), rank, alpha) if isinstance(layer, LoraLayer)
              else _reform(adapter, layer, rank) for layer, rank in zip(adapter.factored_layers, ranks, strict=True)]
    carried = [Carried(source, key, source.qualifier + key) for source, key in adapter.loose]
    for other in adapter.carried:
        source = adapter.source_of(other)
        carried += [Carried(source, key, source.qualifier + key) for key in other.keys]
    if adapter.carried:
        notes.append(f"{len(adapter.carried)} layers have no factors ({adapter.carried[0].why}) and were "
                     "copied unchanged")
    if adapter.loose:
        notes.append(f"{len(adapter.loose)} tensors of unknown meaning were copied unchanged")
    notes += _reformed(adapter, layers)
    if all(out.rank == layer.rank for out, layer in zip(layers, adapter.factored_layers, strict=True)):
        notes.append("no layer has a higher rank than asked for: all tensors are as they were")
    metadata = dict(adapter.metadata) | {recipe.PARENTS: recipe.parents([adapter], hashed=False)}
    if all(layer.algorithm == "lora" for layer in layers):
        metadata = stamp.as_lora(metadata)
    configured = any(layer.alpha.source in CONFIGURED for layer in adapter.factored_layers)
    if peft.HEADER_KEY in metadata and configured:
        metadata[peft.HEADER_KEY] = configuration(layers, adapter.model, metadata[peft.HEADER_KEY])
    metadata.pop(origin.KEY, None)
    return Plan("resize", (adapter,), adapter.model, adapter.key_format, adapter.is_folder, layers, carried,
                metadata, adapter.keys, notes, late={recipe.PARENTS: lambda: recipe.parents([adapter])}, recipe=made)


def _cannot_follow(adapter: Adapter) -> bool:
    """Whether alpha lives in an adapter_config.json that the output will not have beside it."""
    return not adapter.is_folder and any(layer.alpha.source == "adapter_config" for layer in adapter.factored_layers)


def _reform(adapter: Adapter, layer: FactoredLayer, rank: int) -> OutLayer:
    """A layer that is no LoRA: as it was where its rank stays, else as a LoRA of scale 1."""
    source, limit = adapter.source_of(layer), min(layer.out, layer.inner)
    about = layer.stem, layer.group.component, layer.group.name
    # A configuration of PEFT's describes one algorithm: beside one, every layer becomes a LoRA.
    if rank == layer.rank and not adapter.is_folder and layer.alpha.source not in CONFIGURED:
        return OutLayer(*about, rank, layer.alpha.value, limit, layer.is_spatial, layer.address,
                        tuple(_unchanged_specs(layer, source).values()),
                        lambda: Produced(_copied(layer, source),
                                         Report(layer.stem, rank, rank, measure=lambda: _norm(layer))),
                        algorithm=layer.algorithm)
    rank = min(rank, limit)
    names, shapes = lora_names(adapter), layer.as_lora(rank)
    up, down = (TensorSpec(f"{layer.stem}.{name}", layer.dtype, shape)
                for name, shape in zip(names, shapes, strict=True))
    dialect = DIALECTS.get(adapter.key_format)
    holds_alpha = dialect is None or dialect.alpha == "tensor"
    alpha = [alpha_spec(f"{layer.stem}.alpha", float(rank), layer.dtype)] if holds_alpha else []
    return OutLayer(*about, rank, float(rank), limit, layer.is_spatial, layer.address, (up, down, *alpha),
                    lambda: _approximate(layer, rank, up, down, alpha))


def _approximate(layer: FactoredLayer, rank: int, up: TensorSpec, down: TensorSpec,
                 alpha: Sequence[TensorSpec]) -> Produced:
    core, scale = gate.core(layer), layer.scale
    left, right = core.truncate(rank)
    packed = pack(left * scale, right, (up.dtype, down.dtype), up.name)
    error = layer.distance(packed.up_seen / scale, packed.down_seen) if scale else 0.0
    tensors = {up.name: packed.up, down.name: packed.down} | {a.name: alpha_bytes(a, float(rank)) for a in alpha}
    return Produced(tensors, Report(layer.stem, layer.rank, rank, abs(scale) * error, abs(scale) * core.tail(rank),
                                    abs(scale) * core.norm, exact=error == 0.0))


def _reformed(adapter: Adapter, layers: Sequence[OutLayer]) -> list[str]:
    """What happened to layers that were no LoRA."""
    pairs = [(old, new) for old, new in zip(adapter.factored_layers, layers, strict=True)
             if not isinstance(old, LoraLayer) and new.algorithm == "lora"]
    if not pairs:
        return []
    before = sum(old.file.tensors[key].nbytes for old, _ in pairs for key in old.keys)
    after = sum(spec.nbytes for _, new in pairs for spec in new.tensors)
    larger = f"; they are {after / before:.1f} times as large" if after > before else ""
    titles = " and ".join(dict.fromkeys(old.title for old, _ in pairs))
    return [f"{len(pairs)} {titles} layers became LoRA layers{larger}"]


def _layer(layer: LoraLayer, source: Source, rank: int, alpha: str) -> OutLayer:
    if alpha == "rank" and "bias" in layer.extras and layer.scale != 1.0:
        raise WouldLose("its bias is scaled by alpha / rank, which --alpha rank would change", path=layer.file.path,
                        key=layer.stem, hint="Keep alpha: leave out --alpha rank.")
    # alpha * rank / rank is alpha; (alpha / rank) * rank need not be.
    new_alpha = float(rank) if alpha == "rank" else layer.alpha.value * rank / layer.rank
    unchanged = _is_same(layer, rank, new_alpha)
    specs = _unchanged_specs(layer, source) if unchanged else _specs(layer, source, rank, new_alpha)
    if "alpha" in specs and not unchanged:
        new_alpha = alpha_seen(specs["alpha"], new_alpha)

    def compute() -> Produced:
        if unchanged:
            return Produced(_copied(layer, source), Report(layer.stem, rank, rank, measure=lambda: _norm(layer)))
        return _cut(layer, source, rank, new_alpha, specs)

    return OutLayer(layer.stem, layer.group.component, layer.group.name, rank, new_alpha, min(layer.out, layer.inner),
                    layer.is_spatial, layer.address, tuple(specs.values()), compute)


def _copied(layer: FactoredLayer, source: Source) -> dict[str, bytes]:
    copied = {}
    for role, key in layer.group.roles.items():
        copied[source.qualifier + key] = gate.finite_raw(layer, role)
    return copied


def _norm(layer: FactoredLayer) -> float:
    return abs(layer.scale) * layer.norm()


def _unchanged_specs(layer: FactoredLayer, source: Source) -> dict[str, TensorSpec]:
    found = {role: layer.file.tensors[key] for role, key in layer.group.roles.items()}
    return {role: TensorSpec(source.qualifier + i.name, i.dtype, i.shape) for role, i in found.items()}


def _specs(layer: LoraLayer, source: Source, rank: int, alpha: float) -> dict[str, TensorSpec]:
    specs = _unchanged_specs(layer, source)
    specs.pop("mid", None)
    for role, shape in zip(("up", "down"), layer.as_lora(rank), strict=True):
        specs[role] = TensorSpec(specs[role].name, specs[role].dtype, shape)
    if "alpha" in specs:
        old = specs["alpha"]
        specs["alpha"] = alpha_spec(old.name, alpha, old.dtype, old.shape)
    return specs


def _cut(layer: LoraLayer, source: Source, rank: int, alpha: float, specs: dict[str, TensorSpec]) -> Produced:
    up, down = gate.factors(layer)
    dtypes = specs["up"].dtype, specs["down"].dtype
    with np.errstate(over="ignore", invalid="ignore"):
        grams = up.T @ up, down @ down.T
    core = gate.core(layer, lambda: linalg.core(up, down, not linalg.FINE.isdisjoint(dtypes), grams))
    scale, new_scale = layer.scale, alpha / rank
    new_up, new_down = core.truncate(rank) if rank < layer.rank else (up, down)
    if new_scale != scale:
        new_up = new_up * (scale / new_scale)
    packed = pack(new_up, new_down, dtypes, specs["up"].name)
    error = abs(scale) * linalg.distance(packed.up_seen * (new_scale / scale if scale else 1.0), packed.down_seen,
                                         up, down, grams)
    tensors = {specs["up"].name: packed.up, specs["down"].name: packed.down}
    tensors |= {specs[role].name: layer.file.raw(layer.group.roles[role]) for role in layer.extras}
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], alpha)
    return Produced(tensors, Report(layer.stem, layer.rank, rank, error, abs(scale) * core.tail(rank),
                                    abs(scale) * core.norm, exact=error == 0.0))


