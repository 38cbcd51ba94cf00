"""Which layers of several adapters are the same weights, and under which names their sum is written.

Layers pair up by component, module and rows; fused and split spellings of one projection meet in the
spelling of the first input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..adapter.adapter import Adapter
from ..adapter.cover import Piece, cover, height_of, overlapping
from ..adapter.factored import FactoredLayer
from ..errors import FamiliesDiffer, Unsound, UsageError
from ..naming.address import DENOISER, Address, Rows
from ..naming.dialect import DIALECTS
from ..naming.families import family as load_family
from ..naming.keymap import KeyMap, keymap
from . import gate
from .respell import lora_names


@dataclass(frozen=True)
class Slot:
    """One output layer: its names, and what each input gives to it."""

    stem: str
    names: tuple[str, str]
    """Suffixes of up and down."""
    out: int
    pieces: tuple[tuple[int, float, Piece[FactoredLayer]], ...]
    """Number of the input, weight, piece."""
    has_alpha: bool

    @property
    def first(self) -> FactoredLayer:
        return self.pieces[0][2].layer


def require_components(adapters: Sequence[Adapter], told: Mapping[str, Sequence[float]]) -> None:
    present = {layer.address.component for a in adapters for layer in a.factored_layers if layer.address}
    for name in told:
        if name not in present | {"te"}:
            raise UsageError(f"no input has a component {name!r}",
                             hint="There are: " + ", ".join(["te", *sorted(present)]))


def one_model(adapters: Sequence[Adapter]) -> tuple[str | None, str | None]:
    """The model (``family/variant``) of all, and the one whose tables pair the layers.

    They differ where all files fit the same several families: then any of these pairs them alike.
    Both are None when nobody knows the family, but all use the same names.
    """
    possible = [set(a.identification.models) for a in adapters]
    if not any(possible):
        if len({a.key_format for a in adapters}) > 1:
            raise FamiliesDiffer("the base model is unknown and the files use different names",
                                 path=adapters[-1].path, hint="Files of an unknown family are paired by their names.")
        return None, None
    common = set.intersection(*possible)
    if not common:
        raise FamiliesDiffer("adapters for different base models cannot be merged: "
                             + ", ".join(f"{a.path}: {_title(p)}" for a, p in zip(adapters, possible, strict=True)),
                             path=adapters[-1].path, hint="Merge adapters of one base model only.")
    named = next((a.model for a in adapters if a.model in common), None)
    working = named or next(m for m in adapters[0].identification.models if m in common)
    one = named or len({m.partition("/")[0] for m in common}) == 1
    return (working if one else None), working


def _title(models: set[str]) -> str:
    """The base models in words; with the variants where the family is one."""
    families = {model.partition("/")[0] for model in models}
    titles = " or ".join(load_family(f).title for f in sorted(families)) or "an unknown base model"
    variants = sorted(v for model in models if (v := model.partition("/")[2]))
    return f"{titles} {', '.join(variants)}" if len(families) == 1 and variants else titles


def _key(adapter: Adapter, layer: FactoredLayer) -> tuple[str, str]:
    return layer.address.whole if layer.address else ("", layer.stem)


def slots(adapters: Sequence[Adapter], weights: Sequence[float], components: Mapping[str, Sequence[float]],
           model: str | None) -> list[Slot]:
    modules: dict[tuple[str, str], list[list[FactoredLayer]]] = {}
    for number, adapter in enumerate(adapters):
        for layer in adapter.factored_layers:
            modules.setdefault(_key(adapter, layer), [[] for _ in adapters])[number].append(layer)
    found: list[Slot] = []
    for key, by_input in modules.items():
        found += _module_slots(adapters[0], model, key, by_input, _weights_of(key[0], weights, components))
    return found


def _weights_of(component: str, weights: Sequence[float], factors: Mapping[str, Sequence[float]]) -> list[float]:
    """The weights that hold for a component: each of its names multiplies."""
    names = {component} | ({"te"} if component != DENOISER else set())
    found = list(weights)
    for name in names & factors.keys():
        found = [w * f for w, f in zip(found, factors[name], strict=True)]
    return found


def _module_slots(first: Adapter, model: str | None, key: tuple[str, str], by_input: list[list[FactoredLayer]],
                  weights: Sequence[float]) -> list[Slot]:
    every = [layer for layers in by_input for layer in layers]
    kernels = {(layer.inner, layer.kernel if layer.is_spatial else ()) for layer in every}
    if len(kernels) > 1:
        raise Unsound("the inputs have this module in different shapes", path=every[-1].file.path, key=every[-1].stem,
                      hint="`loratool validate` shows which file does not fit the base model.")
    if not key[0] or model is None:
        heights = {layer.out for layer in every}
        if len(heights) > 1:
            raise Unsound(f"the inputs have this layer with {' and '.join(map(str, sorted(heights)))} rows",
                          path=every[-1].file.path, key=every[-1].stem)
        return [_slot(first, every[0].stem, None, every[0].out, by_input, weights)]
    keys = keymap(model)
    out = keys.tree(key[0]).modules[key[1]].shape[0]
    gate.require_height(every, out)
    targets = _targets(first, keys, key, by_input)
    found = [_slot(first, name, address.rows, out, by_input, weights) for name, address in targets]
    return [slot for slot in found if slot.pieces]


def _targets(first: Adapter, keys: KeyMap, key: tuple[str, str],
             by_input: list[list[FactoredLayer]]) -> list[tuple[str, Address]]:
    """Names and rows of the output: the first input's own, and its dialect's for what it lacks."""
    own = {layer.address: layer.stem for layer in by_input[0] if layer.address}
    dialect = DIALECTS.get(first.key_format)
    usual = keys.targets(*key, dialect) if dialect is not None else []
    if own and not own.keys() <= {address for _, address in usual}:
        return [(stem, address) for address, stem in own.items()]
    if usual:
        return [(own.get(address, name), address) for name, address in usual]
    return [(layer.stem, layer.address) for layers in by_input for layer in layers if layer.address][:1]


def _slot(first: Adapter, stem: str, rows: Rows | None, out: int,
          by_input: list[list[FactoredLayer]], weights: Sequence[float]) -> Slot:
    pieces: list[tuple[int, float, Piece[FactoredLayer]]] = []
    target = height_of(rows, out)
    for number, (weight, layers) in enumerate(zip(weights, by_input, strict=True)):
        found = cover(layers, rows, out)
        if overlapping(found, target):
            raise Unsound("the module is in the file twice, in two spellings", path=layers[0].file.path,
                          key=layers[-1].stem, hint="Remove one of them: loaders differ in which they use.")
        pieces += [(number, weight, piece) for piece in found]
    twin = first.layers.get(stem) or first.factored_layers[0]
    up, down = twin.group.suffixes.get("up"), twin.group.suffixes.get("down")
    if up is None or down is None or (twin.stem != stem and twin.group.adapter_name):
        up, down = lora_names(first)
    has_alpha = any("alpha" in layer.group.roles for layer in first.factored_layers) and twin.group.style != "peft"
    return Slot(stem, (up, down), target, tuple(pieces), has_alpha or "alpha" in twin.group.roles)
