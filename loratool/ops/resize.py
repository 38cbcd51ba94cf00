"""Lower the rank: each layer's best approximation, in the file's own dialect and alpha convention.

What is preserved: the ratio alpha / rank of each layer, hence the strength in a prompt; every
tensor of a layer that has the rank already, bit for bit. What is lost: the smallest singular
values; the error is the least that the rank allows (Eckart-Young) up to one rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..adapter import linalg
from ..adapter.adapter import Adapter, Source
from ..adapter.lora import LoraLayer
from ..errors import UsageError, WouldLose
from ..metadata import peft
from ..tensors.writer import TensorSpec
from . import gate
from .configured import configuration
from .pack import alpha_bytes, alpha_spec, pack
from .plan import Carried, OutLayer, Plan, Produced, Report


@dataclass(frozen=True)
class FixedRank:
    """``rank`` for linear layers and 1x1 convolutions, ``conv_rank`` for larger kernels."""

    rank: int
    conv_rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or (self.conv_rank is not None and self.conv_rank < 1):
            raise UsageError("a rank is at least 1")

    def of(self, layer: LoraLayer) -> int:
        """Never above the rank that the layer has; a lowered one never above what its shape allows."""
        wanted = self.conv_rank if layer.is_spatial and self.conv_rank is not None else self.rank
        return layer.rank if wanted >= layer.rank else min(wanted, layer.out, layer.inner)


def plan(adapter: Adapter, rule: FixedRank, alpha: str = "keep") -> Plan:
    """Plan a resize. ``alpha`` keep: the ratio alpha / rank stays; rank: alpha becomes the rank.

    Computed from the header alone. Raises Unsound and WouldLose for what cannot be resized.
    """
    gate.require_sound(adapter)
    if not adapter.lora_layers:
        first = adapter.carried[0]
        raise WouldLose(f"no layer is a plain LoRA ({first.why}): there is no rank to lower",
                        path=adapter.path, key=first.stem)
    notes: list[str] = []
    if _cannot_follow(adapter):
        alpha = "rank"
        notes.append("the scale of adapter_config.json was folded into the weights: the file stands alone")
    sources = {id(source.file): source for source in adapter.sources}
    layers: list[OutLayer] = []
    carried = [Carried(source, key, source.qualifier + key) for source, key in adapter.loose]
    for layer in adapter.layers.values():
        source = sources[id(layer.file)]
        if isinstance(layer, LoraLayer):
            layers.append(_layer(layer, source, rule.of(layer), alpha))
        else:
            carried += [Carried(source, key, source.qualifier + key) for key in layer.keys]
    if adapter.carried:
        notes.append(f"{len(adapter.carried)} layers are no plain LoRA ({adapter.carried[0].why}) and were "
                     "copied unchanged")
    if adapter.loose:
        notes.append(f"{len(adapter.loose)} tensors of unknown meaning were copied unchanged")
    if all(out.rank == layer.rank for out, layer in zip(layers, adapter.lora_layers, strict=True)):
        notes.append("no layer has a higher rank than asked for: all tensors are as they were")
    metadata = dict(adapter.metadata)
    configured = any(layer.alpha.source in ("metadata", "adapter_config") for layer in adapter.lora_layers)
    if peft.HEADER_KEY in metadata and configured:
        metadata[peft.HEADER_KEY] = configuration(layers, metadata[peft.HEADER_KEY])
    metadata.pop("loratool.origin", None)
    order = [source.qualifier + info.name for source in adapter.sources
             for info in source.file.header.in_file_order()]
    return Plan("resize", (adapter,), adapter.family, adapter.key_format, adapter.is_folder, layers, carried,
                metadata, order, notes, stamp=True)


def _cannot_follow(adapter: Adapter) -> bool:
    """Whether alpha lives in an adapter_config.json that the output will not have beside it."""
    return not adapter.is_folder and any(layer.alpha.source == "adapter_config" for layer in adapter.lora_layers)


def _layer(layer: LoraLayer, source: Source, rank: int, alpha: str) -> OutLayer:
    # alpha * rank / rank is alpha; (alpha / rank) * rank need not be.
    new_alpha = float(rank) if alpha == "rank" else layer.alpha.value * rank / layer.rank
    unchanged = rank == layer.rank and new_alpha == layer.alpha.value
    specs = _unchanged_specs(layer, source) if unchanged else _specs(layer, source, rank, new_alpha)
    component = layer.group.prefix.removesuffix("base_model.model.").rstrip(".")

    def compute() -> Produced:
        if unchanged:
            return Produced({source.qualifier + key: layer.file.raw(key) for key in layer.keys},
                            Report(layer.stem, rank, rank, measure=lambda: _norm(layer)))
        return _cut(layer, source, rank, new_alpha, specs)

    return OutLayer(layer.stem, component, layer.group.name, rank, new_alpha, min(layer.out, layer.inner),
                    layer.is_spatial, tuple(specs.values()), compute)


def _norm(layer: LoraLayer) -> float:
    return abs(layer.scale) * linalg.norm(*gate.factors(layer))


def _unchanged_specs(layer: LoraLayer, source: Source) -> dict[str, TensorSpec]:
    found = {role: layer.file.tensors[key] for role, key in layer.group.roles.items()}
    return {role: TensorSpec(source.qualifier + i.name, i.dtype, i.shape) for role, i in found.items()}


def _specs(layer: LoraLayer, source: Source, rank: int, alpha: float) -> dict[str, TensorSpec]:
    specs = _unchanged_specs(layer, source)
    specs.pop("mid", None)
    up, down = specs["up"], specs["down"]
    specs["up"] = TensorSpec(up.name, up.dtype, (up.shape[0], rank, *up.shape[2:]))
    kernel = layer.kernel if layer.has_mid else down.shape[2:]
    specs["down"] = TensorSpec(down.name, down.dtype, (rank, down.shape[1], *kernel))
    if "alpha" in specs:
        old = specs["alpha"]
        specs["alpha"] = alpha_spec(old.name, alpha, old.dtype, old.shape)
    return specs


def _cut(layer: LoraLayer, source: Source, rank: int, alpha: float, specs: dict[str, TensorSpec]) -> Produced:
    up, down = gate.factors(layer)
    dtypes = specs["up"].dtype, specs["down"].dtype
    core = linalg.core(up, down, exact=not {"F32", "F64"}.isdisjoint(dtypes))
    scale, new_scale = layer.scale, alpha / rank
    new_up, new_down = core.truncate(rank) if rank < layer.rank else (up, down)
    if new_scale != scale:
        new_up = new_up * (scale / new_scale)
    packed = pack(new_up, new_down, dtypes, specs["up"].name)
    error = linalg.distance(packed.up_seen * new_scale, packed.down_seen, up * scale, down)
    tensors = {specs["up"].name: packed.up, specs["down"].name: packed.down}
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], alpha)
    return Produced(tensors, Report(layer.stem, layer.rank, rank, error, abs(scale) * core.tail(rank),
                                    abs(scale) * core.norm, exact=error == 0.0))


