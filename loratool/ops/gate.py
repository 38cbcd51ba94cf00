"""What an input must satisfy before anything is computed from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter
from ..adapter.alpha import stored_alpha
from ..adapter.cover import height_of
from ..adapter.factored import FactoredLayer
from ..adapter.layer import CarriedLayer, Layer
from ..errors import Unsound, WouldLose
from ..tensors.codec import all_finite

COMBINED = "Only LoRA, LoCon, LoHa and LoKr layers can be combined."


def require_sound(adapter: Adapter) -> None:
    """Raise Unsound for layers whose update cannot be told: a missing half, ranks that disagree."""
    for stem, shapes in adapter.shapes.items():
        if shapes.fault:
            raise Unsound(f"the layer {shapes.message}", path=adapter.path, key=stem,
                          hint=f"`loratool validate` lists every such layer of {adapter.path!r}.")
    if not adapter.layers:
        raise Unsound("holds no adapter layer", path=adapter.path,
                      hint="It may be a checkpoint or an embedding: `loratool inspect` shows its keys.")
    for factored in adapter.factored_layers:
        said = adapter.source_of(factored).config_fault
        if said and factored.alpha.source != "tensor":
            raise Unsound(f"the settings that hold the layers' alpha cannot be understood: {said}", path=adapter.path,
                          key=factored.stem, hint="Correct lora_adapter_metadata or adapter_config.json.")
    for layer in adapter.layers.values():
        if "alpha" in layer.group.roles and stored_alpha(layer.file, layer.group) is None:
            raise Unsound("alpha is not one number, so the layer's scale is unknown", path=adapter.path,
                          key=layer.group.roles["alpha"], hint="The file is damaged: get another copy.")
        if isinstance(layer, FactoredLayer) and not isfinite(layer.alpha.value):
            raise Unsound(f"the layer's alpha is {layer.alpha.value}", path=adapter.path, key=layer.stem,
                          hint="The file is damaged: get another copy.")
        if isinstance(layer, FactoredLayer) and (odd := layer.odd_dtype):
            raise Unsound(f"the weights are stored as {odd}, which cannot be computed with", path=adapter.path,
                          key=layer.stem, hint="Convert them to F16 or BF16 with the program that wrote the file.")
        if layer.group.twice:
            raise Unsound("the module has two tensors for one factor", path=adapter.path,
                          key=layer.group.twice[0], hint="Remove one of them first.")


def require_fit(adapter: Adapter) -> None:
    """Raise Unsound for a layer whose shape the base model does not have."""
    for stem, shape in adapter.identification.conflicts.items():
        raise Unsound(f"the layer is {_shape(adapter, stem)}, the base model has {' x '.join(map(str, shape))}",
                      path=adapter.path, key=stem, hint="`loratool validate` lists all layers of a wrong shape.")


def _shape(adapter: Adapter, stem: str) -> str:
    found = adapter.shapes.get(stem)
    return f"{found.out} x {found.inner}" if found and not found.fault else "of another shape"


def require_height(layers: Sequence[FactoredLayer], out: int) -> None:
    """Raise Unsound for a layer that has other rows than its address in a weight of ``out`` rows."""
    for layer in layers:
        expected = height_of(layer.address.rows if layer.address else None, out)
        if layer.out != expected:
            raise Unsound(f"the layer has {layer.out} rows, the base model has {expected}", path=layer.file.path,
                          key=layer.stem, hint="`loratool validate` lists all layers of a wrong shape.")


def finite(array: np.ndarray, layer: FactoredLayer) -> np.ndarray:
    """``array`` itself, a factor of the layer; raises Unsound when it holds NaN or infinity."""
    if not np.isfinite(array).all():
        require_finite(layer)
        raise too_large(layer)
    return array


def finite_raw(layer: Layer, role: str) -> bytes:
    """The stored bytes of a tensor; raises Unsound when they hold NaN or infinity."""
    info = layer.file.tensors[layer.group.roles[role]]
    raw = layer.file.raw(info.name)
    if not all_finite(raw, info.dtype):
        raise not_finite(layer, role)
    return raw


def not_finite(layer: Layer, role: str) -> Unsound:
    return Unsound("holds NaN or infinite weights", path=layer.file.path, key=layer.group.roles.get(role),
                   hint="The file was damaged in training or saving: get another copy or an earlier epoch.")


def require_finite(layer: FactoredLayer) -> None:
    """Raise Unsound for a layer that holds NaN or infinite weights."""
    for role in layer.parts:
        finite_raw(layer, role)


def factors(layer: FactoredLayer) -> tuple[np.ndarray, np.ndarray]:
    """``up`` and ``down`` of the layer, finite, without the scale."""
    return finite(layer.up(), layer), finite(layer.down(), layer)


def core(layer: FactoredLayer, find: Callable[[], linalg.Core] | None = None) -> linalg.Core:
    """The core of the layer's factors, without the scale; raises Unsound where it has no finite one.

    ``find``: how to get it, where the factors are at hand.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = find() if find else layer.core(exact=layer.dtype in linalg.FINE)
            if np.isfinite(found.norm):
                return found
    except np.linalg.LinAlgError:
        pass
    require_finite(layer)
    raise too_large(layer)


def too_large(layer: Layer) -> Unsound:
    return Unsound("the update is too large to be computed with", path=layer.file.path, key=layer.stem,
                   hint="No program can use it: the file is damaged.")


def only_factored(adapter: Adapter, command: str) -> None:
    """Raise WouldLose when the adapter holds more than layers with factors."""
    other: Sequence[CarriedLayer] = adapter.carried
    if other:
        raise WouldLose(f"{len(other)} layers have no factors ({other[0].why}); {command} cannot keep their effect",
                        path=adapter.path, key=other[0].stem, hint=COMBINED)
    for layer in adapter.factored_layers:
        if layer.extras:
            raise WouldLose(f"the layer has a bias ({layer.group.suffixes[layer.extras[0]]}); {command} cannot keep it",
                            path=adapter.path, key=layer.stem, hint=COMBINED)
    if adapter.loose:
        raise WouldLose(f"{len(adapter.loose)} keys have an unknown meaning; {command} cannot keep them",
                        path=adapter.path, key=adapter.loose[0][1],
                        hint="`loratool convert --drop-unsupported` writes the file without them.")
