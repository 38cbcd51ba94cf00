"""Will a program load a file, and all of it? Said from the names, shapes and alphas, not by running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..adapter.adapter import Adapter
from ..adapter.layer import Layer
from ..adapter.lora import LoraLayer
from ..errors import Unmapped
from ..naming.address import DENOISER
from ..naming.dialect import DIALECTS, Dialect
from ..naming.families import of_model
from ..naming.keymap import KeyMap, keymap
from . import PROGRAMS, program
from .program import NAMED, Names, Program


class Loading(NamedTuple):
    """``loads``: all, part, none, or unknown where the base model is not known."""

    program: str
    title: str
    version: str
    loads: str
    modules: int
    of: int
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    """The layers that it ignores."""

    @property
    def says(self) -> str:
        """One line without the program's name."""
        head = {"all": f"loads all {self.of} layers", "part": f"loads {self.modules} of {self.of} layers",
                "none": "cannot load it", "unknown": "not known"}[self.loads]
        return ": ".join([head, "; ".join(self.notes)]) if self.notes else head


Groups = dict[tuple[str, frozenset[str], str, str], list[Layer]]
"""Layers that a program treats alike but for their modules: by prefix, spellings, component and kind."""


def judge_all(adapter: Adapter) -> list[Loading]:
    """Every program's answer."""
    groups = _groups(adapter)
    return [_judge(adapter, program(name), groups) for name in PROGRAMS]


def judge(adapter: Adapter, of: Program) -> Loading:
    """What ``of`` makes of the adapter. A file that fits several models is judged as the first that it knows."""
    return _judge(adapter, of, _groups(adapter))


def kind(layer: Layer) -> str:
    """The layer's algorithm in the words of the programs' tables."""
    if layer.group.dora:
        return "dora"
    if layer.group.adapter_name not in ("", "default"):
        return NAMED
    if isinstance(layer, LoraLayer):
        return "tucker" if layer.has_mid else "lora"
    return layer.algorithm


def _groups(adapter: Adapter) -> Groups:
    found: Groups = {}
    hits = adapter.identification.hits
    for layer in adapter.layers.values():
        hit = hits.get(layer.stem)
        spellings, component = (hit.spellings, hit.address.component) if hit else (frozenset[str](), "")
        found.setdefault((layer.group.prefix, spellings, component, kind(layer)), []).append(layer)
    return found


def _judge(adapter: Adapter, of: Program, groups: Groups) -> Loading:
    total = len(adapter.layers)
    models = adapter.identification.models

    def answer(loads: str, modules: int, *notes: str, left_out: tuple[str, ...] = ()) -> Loading:
        return Loading(of.id, of.title, of.version, loads, modules, total, notes, left_out)

    if not models or not total:
        return answer("unknown", 0, "the base model is not known" if total else "there is no layer")
    model = _known(models, of)
    if model is None:
        titles = " or ".join(dict.fromkeys(of_model(m).title for m in models))
        return answer("none", 0, f"version {of.version} does not know {titles}")
    family, network = model.partition("/")[0], keymap(model).denoiser.modules
    there = {name for part, name in adapter.modules if part == DENOISER}
    left: list[Layer] = []
    reasons: Counter[str] = Counter()
    for (prefix, spellings, component, sort), layers in groups.items():
        if sort in of.refuses:
            return answer("none", 0, of.refuses[sort])
        place = of.place(prefix, spellings, component, family)
        if place and place.lacks(network, there):
            place = None
        stop = next((layer for layer in layers if place and layer.address and place.stops(layer.address.module)), None)
        if stop:
            return answer("none", 0, f"it stops at {stop.stem}")
        out = layers if place is None or not of.computes(sort) else [
            layer for layer in layers if layer.address is None or not place.takes(layer.address.module)]
        left += out
        if out:
            reasons[_reason(component, sort, of)] += len(out)
    loaded = total - len(left)
    notes = [f"ignores {count} {why}" for why, count in reasons.most_common()]
    notes += _departures(adapter, of, groups, {layer.stem for layer in left})
    return answer("all" if not left else "part" if loaded else "none", loaded, *notes,
                  left_out=tuple(layer.stem for layer in left))


def _known(models: Sequence[str], of: Program) -> str | None:
    """The first of the models that a file fits, of a family that the program knows."""
    return next((model for model in models if model.partition("/")[0] in of.families), None)


def _reason(component: str, sort: str, of: Program) -> str:
    if not component:
        return "unknown modules"
    if sort == NAMED and not of.named:
        return "layers with an adapter name"
    return "names that it does not know" if of.computes(sort) else f"{sort} layers"


def _departures(adapter: Adapter, of: Program, groups: Groups, left: set[str]) -> Iterator[str]:
    """Where what is loaded is not what the file means."""
    for departs in dict.fromkeys(of.algorithms.get(sort, "") for *_, sort in groups):
        if departs:
            yield departs
    unseen = {f"{layer.scale:g}" for layer in adapter.lora_layers if layer.scale != 1.0
              and layer.alpha.source not in (*of.alphas, "default") and layer.stem not in left}
    if unseen:
        yield f"ignores alpha: the scale is 1 instead of {', '.join(sorted(unseen)[:3])}"


class Choice(NamedTuple):
    """The dialect to write for a program."""

    dialect: str | None
    """The first that makes it load the most layers; None where it would load none."""
    ignored: int = 0
    """How many layers it does not load even so."""
    why: str = ""
    """Why there is no dialect."""


def target(adapter: Adapter, of: Program) -> Choice:
    """Which dialect ``of`` reads the adapter in, and what it leaves out."""
    models = adapter.identification.models
    model = _known(models, of)
    if model is None:
        return Choice(None, why="loads this base model in no dialect" if models else
                      "cannot be written for: the base model is not known")
    counts = {dialect: _would_load(adapter, of, model, dialect) for dialect in of.prefers}
    best = max(counts.values(), default=0)
    if not best:
        refused = next((of.refuses[sort] for sort in map(kind, adapter.layers.values()) if sort in of.refuses), None)
        return Choice(None, why=f"cannot load the file: {refused}" if refused else
                      "loads none of its layers, whatever their names")
    return Choice(next(dialect for dialect, count in counts.items() if count == best),
                  sum(map(len, adapter.modules.values())) - best)


def _would_load(adapter: Adapter, of: Program, model: str, dialect: str) -> int:
    """How many of the adapter's layers that have a name would be loaded under the names of ``dialect``."""
    keys, count = keymap(model), 0
    for (component, module), layers in adapter.modules.items():
        sorts = {_written(layer, DIALECTS[dialect]) for layer in layers}
        places = _places(of, keys, component, module, DIALECTS[dialect])
        if not sorts.isdisjoint(of.refuses) or any(place and place.stops(module) for place in places):
            return 0
        if all(map(of.computes, sorts)) and all(place and place.takes(module) for place in places):
            count += len(layers)
    return count


def _written(layer: Layer, dialect: Dialect) -> str:
    """The kind of layer that a conversion makes: a ``lora_mid`` is folded, an adapter's name left out."""
    sort = kind(layer)
    return "lora" if sort == NAMED or (sort == "tucker" and dialect.style == "peft") else sort


def _places(of: Program, keys: KeyMap, component: str, module: str, dialect: Dialect) -> list[Names | None]:
    """For each name that ``dialect`` has for a module, the program's rule."""
    try:
        targets = keys.targets(component, module, dialect)
    except Unmapped:
        return [None]
    return [of.rule(keys, component, stem) for stem, _ in targets]
