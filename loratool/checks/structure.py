"""Do the keys make layers? From the header and the alphas alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..adapter.adapter import Adapter
from ..adapter.alpha import stored_alpha
from ..adapter.factored import FactoredLayer
from ..adapter.layer import twins
from ..metadata import peft
from ..metadata.fields import unparsed
from ..tensors.dtypes import FLOATS
from .finding import Finding, finding

LARGEST_SCALE = 16.0
"""An alpha above 16 times the rank is no setting that a trainer offers."""


def check(adapter: Adapter) -> Iterator[Finding]:
    """All findings of this level, in the order of the file."""
    if not adapter.layers:
        yield finding("NO_ADAPTER", "no key belongs to an adapter layer" if adapter.loose else "holds no tensors")
        return
    yield from _factors(adapter)
    yield from _duplicates(adapter)
    yield from _alphas(adapter)
    yield from _dialects(adapter)
    for _, key in adapter.loose:
        yield finding("UNKNOWN_KEYS", "the suffix is of no known algorithm", key)
    for key in unparsed(adapter.metadata):
        yield finding("METADATA_BAD_JSON", "the value is not JSON", key)


def _factors(adapter: Adapter) -> Iterator[Finding]:
    for stem, shapes in adapter.shapes.items():
        if shapes.fault:
            yield finding(shapes.fault, f"the layer {shapes.message}", stem)
    for layer in adapter.layers.values():
        for key in layer.group.twice:
            yield finding("DUPLICATE_FACTOR", "the module has this factor under another key already", key)
        for role in ("up", "down", "mid"):
            info = layer.info(role)
            if info is not None and info.dtype not in FLOATS[:4]:
                yield finding("ODD_DTYPE", f"the weights are stored as {info.dtype}", info.name)


def _duplicates(adapter: Adapter) -> Iterator[Finding]:
    for layers in adapter.modules.values():
        for layer, twin in twins(layers):
            yield finding("DUPLICATE_MODULE", f"is the same weight as {twin.stem}", layer.stem)


def _alphas(adapter: Adapter) -> Iterator[Finding]:
    for source in adapter.sources:
        if source.config_fault:
            needed = any("alpha" not in layer.group.roles for layer in adapter.layers.values()
                         if layer.file is source.file)
            yield finding("SETTINGS_INVALID", source.config_fault,
                          peft.HEADER_KEY if source.config_source == "metadata" else peft.CONFIG_NAME,
                          None if needed else "warn")
    stated = [layer for layer in adapter.layers.values() if "alpha" in layer.group.roles]
    if stated and peft.HEADER_KEY in adapter.metadata:
        yield finding("ALPHA_TWICE", "has alpha tensors beside lora_adapter_metadata", peft.HEADER_KEY)
    for layer in stated:
        key = layer.group.roles["alpha"]
        value = layer.alpha.value if isinstance(layer, FactoredLayer) else stored_alpha(layer.file, layer.group)
        rank = adapter.shapes[layer.stem].dim if layer.stem in adapter.shapes else 0
        if value is None or (isinstance(layer, FactoredLayer) and layer.alpha.source != "tensor"):
            yield finding("ALPHA_INVALID", "alpha is not one number", key)
        elif not math.isfinite(value):
            yield finding("ALPHA_INVALID", f"alpha is {value}", key)
        elif value <= 0 or (rank and value > LARGEST_SCALE * rank):
            yield finding("ALPHA_ABSURD", f"alpha is {value:g} at rank {rank}" if rank else f"alpha is {value:g}", key)
    missing = [layer for layer in adapter.lora_layers if layer.alpha.source == "default"]
    expected = stated or any(layer.group.style == "kohya" for layer in missing)
    if missing and expected:
        every = len(missing) == len(adapter.lora_layers)
        yield finding("ALPHA_MISSING", "no layer has an alpha" if every else f"{len(missing)} layers have no alpha",
                      missing[0].stem)


def _dialects(adapter: Adapter) -> Iterator[Finding]:
    for component, counts in adapter.dialects.items():
        if len(counts) > 1:
            told = ", ".join(f"{count} in {name}" for name, count in counts.most_common())
            yield finding("MIXED_DIALECTS", f"{component}: {told}", component)
