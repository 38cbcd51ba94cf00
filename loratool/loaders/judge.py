"""Will a program load a file, and all of it? Said from the names, shapes and alphas, not by running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ..adapter.adapter import Adapter
from ..adapter.layer import Layer
from ..adapter.lora import LoraLayer
from ..errors import Unmapped
from ..naming.dialect import DIALECTS, split_prefix
from ..naming.families import of_model
from ..naming.keymap import keymap
from . import PROGRAMS, program
from .program import Program


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
    """What ``of`` makes of the adapter. A file that fits several models is judged as the first of them."""
    return _judge(adapter, of, _groups(adapter))


def kind(layer: Layer) -> str:
    """The layer's algorithm in the words of the programs' tables."""
    if layer.group.dora:
        return "dora"
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
    family = models[0].partition("/")[0]
    if family not in of.families:
        return answer("none", 0, f"version {of.version} does not know {of_model(family).title}")
    left: list[Layer] = []
    reasons: Counter[str] = Counter()
    for (prefix, spellings, component, sort), layers in groups.items():
        if sort in of.refuses:
            return answer("none", 0, of.refuses[sort])
        place = of.place(prefix, spellings, component, family)
        stop = next((layer for layer in layers if place and layer.address and place.stops(layer.address.module)), None)
        if stop:
            return answer("none", 0, f"it stops at {stop.stem}")
        out = layers if place is None or sort not in of.algorithms else [
            layer for layer in layers if layer.address is None or not place.takes(layer.address.module)]
        left += out
        if out:
            reasons[_reason(component, sort, of)] += len(out)
    loaded = total - len(left)
    notes = [f"ignores {count} {why}" for why, count in reasons.most_common()]
    notes += _departures(adapter, of, groups, {layer.stem for layer in left})
    return answer("all" if not left else "part" if loaded else "none", loaded, *notes,
                  left_out=tuple(layer.stem for layer in left))


def _reason(component: str, sort: str, of: Program) -> str:
    if not component:
        return "unknown modules"
    return f"{sort} layers" if sort not in of.algorithms else "names that it does not know"


def _departures(adapter: Adapter, of: Program, groups: Groups, left: set[str]) -> Iterator[str]:
    """Where what is loaded is not what the file means."""
    for departs in dict.fromkeys(of.algorithms.get(sort, "") for *_, sort in groups):
        if departs:
            yield departs
    unseen = {f"{layer.scale:g}" for layer in adapter.lora_layers if layer.scale != 1.0
              and layer.alpha.source not in (*of.alphas, "default") and layer.stem not in left}
    if unseen:
        yield f"ignores alpha: the scale is 1 instead of {', '.join(sorted(unseen)[:3])}"


def target(adapter: Adapter, of: Program) -> str | None:
    """The dialect to write for ``of``: the first that makes it load the most layers; None where none does."""
    model = adapter.model or next(iter(adapter.identification.models), None)
    if model is None or model.partition("/")[0] not in of.families:
        return None
    counts = {dialect: _would_load(adapter, of, model, dialect) for dialect in of.prefers}
    best = max(counts.values(), default=0)
    return next((dialect for dialect, count in counts.items() if count == best), None) if best else None


def _would_load(adapter: Adapter, of: Program, model: str, dialect: str) -> int:
    keys, family, count = keymap(model), model.partition("/")[0], 0
    for component, module in adapter.modules:
        try:
            targets = keys.targets(component, module, DIALECTS[dialect])
        except Unmapped:
            continue
        for stem, _ in targets:
            prefix, name = split_prefix(stem)
            hit = keys.read(prefix, name)
            place = of.place(prefix, hit.spellings, component, family) if hit else None
            if place and place.stops(module):
                return 0
            count += bool(place and place.takes(module))
    return count
