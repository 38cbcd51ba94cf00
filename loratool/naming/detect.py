"""Which base model an adapter is for: a check of every name and shape, not one telling key.

Source of the idea: of the families whose tables hold every module with its shape, a file belongs
to those whose kinds of module it covers. What cannot be told apart is reported as a set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from . import index
from .address import DENOISER
from .dialect import is_encoder_prefix
from .families import FAMILIES
from .families import family as load_family
from .keymap import Hit, KeyMap, keymap

LEAST_FIT = 0.75
"""Below this share of explained modules a family is not named."""
MOST_CONFLICTS = 0.1
MOST_DAMAGED = 0.5
"""The share of conflicts up to which a file with a model's names is a damaged one of it, not another model's."""
MOST_OUT_OF_RANGE = 0.02
"""Blocks that a model does not have speak for another, larger one."""
MOST_OF_IT = 0.4
"""The share of a denoiser's modules from which on a perfect fit is called proved."""
SPEAKS = 16
"""From this many modules on it means something that a file has all of a model's modules of the kinds that it has."""
CONSIDERED = 64
WORTH_A_LOOK = 0.6
"""Models with less than this share of the best score in the index are not loaded."""
KEPT = 128
"""Answers that are remembered: the files of one trainer for one base model have the same modules."""


class Spelled(NamedTuple):
    """A module as the file names it; ``shape`` of its update, None where it cannot be told."""

    stem: str
    prefix: str
    name: str
    shape: tuple[int, ...] | None


class Candidate(NamedTuple):
    """How well one family (or ``family/variant``) explains the file."""

    id: str
    fit: float
    coverage: float
    conflicts: int
    missing: int


@dataclass(frozen=True)
class Identification:
    """What a file is for. Never an exception: what is not known is None."""

    family: str | None
    variant: str | None
    confidence: str
    candidates: tuple[Candidate, ...]
    models: tuple[str, ...] = ()
    """The models (``family/variant``) that explain the file equally well; ``hits`` are those of the first."""
    hits: dict[str, Hit] = field(default_factory=dict)
    """Stem -> address, by the model's tables."""
    conflicts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Stem -> the shape that the model has, where the file has another."""
    unexplained: tuple[str, ...] = ()
    says: str = ""

    @property
    def model(self) -> str | None:
        """Whose names translate this file: of several that fit, one of the family."""
        return self.models[0] if self.family else None

    @property
    def possible(self) -> set[str]:
        """The families that remain possible."""
        return {self.family} if self.family else {c.id.split("/")[0] for c in self.candidates}


@dataclass(frozen=True)
class _Match:
    model: str
    variants: tuple[str, ...]
    hits: dict[str, Hit]
    conflicts: dict[str, tuple[int, ...]]
    unexplained: tuple[str, ...]
    total: int
    out_of_range: int
    coverage: float
    missing: int
    shaped: int
    """How many modules were found with a shape to compare."""

    @property
    def family(self) -> str:
        return self.model.partition("/")[0]

    @property
    def fit(self) -> float:
        return (len(self.hits) - len(self.conflicts)) / self.total

    @property
    def beyond_doubt(self) -> bool:
        """A few modules can be those of a model that no table describes; most of a network cannot."""
        denoiser = {hit.address.module for hit in self.hits.values() if hit.address.component == DENOISER}
        return (self.fit == 1.0 and self.shaped > 0
                and len(denoiser) >= MOST_OF_IT * len(keymap(self.model).denoiser.modules))

    @property
    def acceptable(self) -> bool:
        return (self.fit >= LEAST_FIT and len(self.conflicts) <= MOST_CONFLICTS * self.total and self._in_range
                and (self.shaped > 0 or self.coverage == 1.0))

    @property
    def damaged(self) -> bool:
        """The names are the model's, but shapes are not."""
        return (len(self.hits) >= LEAST_FIT * self.total and self._in_range
                and 0 < len(self.conflicts) <= MOST_DAMAGED * self.shaped)

    @property
    def _in_range(self) -> bool:
        return self.out_of_range <= MOST_OUT_OF_RANGE * self.total


def identify(modules: Sequence[Spelled], declared: str | None = None) -> Identification:
    """Identify from names and shapes; ``declared`` (the metadata's word) only decides ties.

    ``declared`` is a family or ``family/variant``.
    """
    return _identify(tuple(modules), declared)


@lru_cache(maxsize=KEPT)
def _identify(modules: tuple[Spelled, ...], declared: str | None) -> Identification:
    if not modules:
        return Identification(None, None, "unknown", ())
    spelled = _by_prefix(modules)
    matches = _matches(spelled, len(modules))
    # A name in a wrong shape is better explained by its own model's damage than as a stranger in another's.
    matches.sort(key=lambda m: (-len(m.hits), len(m.conflicts), -m.coverage, m.model))
    good = [m for m in matches if m.acceptable or m.damaged]
    if not good:
        return Identification(None, None, "unknown", tuple(c for m in matches[:3] for c in _candidates(m)[:1]),
                              unexplained=matches[0].unexplained if matches else tuple(m.stem for m in modules))
    equals = _equals(good)
    chosen, confidence = _choose(equals, declared)
    if not chosen:
        # Addresses by the first of them: enough to see which layers of the file are one weight.
        conflicts = {stem: shape for stem, shape in equals[0].conflicts.items()
                     if all(stem in m.conflicts for m in equals)}
        return Identification(None, None, "ambiguous", _all_candidates(equals),
                              tuple(m.model for m in equals), equals[0].hits, conflicts, equals[0].unexplained,
                              _says_several(equals))
    first = chosen[0]
    return Identification(first.family, _variant(chosen, declared), confidence, _all_candidates(chosen),
                          tuple(m.model for m in chosen), first.hits, first.conflicts, first.unexplained, _says(first))


def _equals(good: list[_Match]) -> list[_Match]:
    """The matches that nothing in the tensors prefers one to another."""
    best = [m for m in good if (len(m.hits), len(m.conflicts)) == (len(good[0].hits), len(good[0].conflicts))]
    whole = [m for m in best if m.coverage == 1.0]
    return whole if whole and len(good[0].hits) >= SPEAKS else best


def _choose(equals: list[_Match], declared: str | None) -> tuple[list[_Match], str]:
    """The matches of the family that it is, best first; none where several families remain."""
    if len({m.family for m in equals}) == 1:
        found, confidence = equals, "proved" if any(m.beyond_doubt for m in equals) else "likely"
    else:
        word = (declared or "").split("/")[0]
        found, confidence = [m for m in equals if m.family == word], "likely"
        if not found:
            return [], "ambiguous"
    variant = (declared or "").partition("/")[2]
    # Of variants that fit alike, the declared one, else the smallest: the others have modules that the file lacks.
    return sorted(found, key=lambda m: (variant not in m.variants, len(keymap(m.model).denoiser.modules))), \
        confidence


def _variant(chosen: list[_Match], declared: str | None) -> str | None:
    variants = [v for m in chosen for v in m.variants]
    if len(variants) == 1:
        return variants[0]
    family, _, variant = (declared or "").partition("/")
    return variant if family == chosen[0].family and variant in variants else None


_Group = list[tuple[str, str, tuple[int, ...] | None]]
"""Stem, name, shape as a matrix."""


def _by_prefix(modules: Sequence[Spelled]) -> dict[str, _Group]:
    found: dict[str, _Group] = {}
    for stem, prefix, name, shape in modules:
        found.setdefault(prefix, []).append((stem, name, None if shape is None else index.flat(shape)))
    return found


def _matches(spelled: dict[str, _Group], total: int) -> list[_Match]:
    """How the models of the shortlist fit, as far as they explain anything.

    A model that the index scores below one that fits in every name and shape lacks a pattern or has it in
    another shape: it cannot fit as well, and its tables are not made.
    """
    found: list[_Match] = []
    perfect = 0
    for model, score in _shortlist(spelled):
        if score < perfect:
            break
        match = _match(model, spelled, total)
        if match.hits:
            found.append(match)
        if len(match.hits) == total and not match.conflicts:
            perfect = score
    return found


def _shortlist(spelled: dict[str, _Group]) -> list[tuple[str, int]]:
    """The models that the index finds most of the file's patterns and shapes in, with their scores, best first."""
    patterns = index.load()["patterns"]
    counted = Counter((index.pattern(name), shape) for group in spelled.values() for _, name, shape in group)
    score: Counter[str] = Counter()
    for (name, shape), count in counted.items():
        worth: dict[str, int] = {}
        for network, shapes in patterns.get(name, {}).items():
            fits = shape is None or any(list(shape) == s[:len(shape)] or not s for s in shapes)
            for model in index.models_with(network):
                worth[model] = max(worth.get(model, 0), 2 * count if fits else count)
        score.update(worth)
    least = WORTH_A_LOOK * max(score.values(), default=0)
    ranked = sorted(((m, s) for m, s in score.items() if s >= least), key=lambda found: (-found[1], found[0]))
    return ranked[:CONSIDERED]


def _match(model: str, spelled: dict[str, _Group], total: int) -> _Match:
    keys = keymap(model)
    hits: dict[str, Hit] = {}
    conflicts: dict[str, tuple[int, ...]] = {}
    unexplained: list[str] = []
    shaped = out_of_range = 0
    for prefix, group in spelled.items():
        tables = keys.tables(prefix)
        encoder = is_encoder_prefix(prefix)
        for stem, name, shape in group:
            hit = next((found for table in tables if (found := table.get(name)) is not None), None)
            if hit is None:
                unexplained.append(stem)
                out_of_range += not encoder and index.pattern(name) in keys.patterns
                continue
            hits[stem] = hit
            if shape is not None:
                shaped += 1
                if hit.shape and shape != index.flat(hit.shape)[:len(shape)]:
                    conflicts[stem] = hit.shape
    coverage, missing = _coverage(keys, hits)
    return _Match(model, tuple(index.load()["models"][model]["variants"]), hits, conflicts, tuple(unexplained), total,
                  out_of_range, coverage, missing, shaped)


def _coverage(keys: KeyMap, hits: dict[str, Hit]) -> tuple[float, int]:
    """The share of the model's modules of the kinds present that the file has; what it lacks."""
    present: dict[str, set[str]] = {}
    for hit in hits.values():
        present.setdefault(hit.address.component, set()).add(hit.address.module)
    found = expected = 0
    for component, modules in present.items():
        kinds = keys.kinds(component)
        here = {kinds[module] for module in modules if module in kinds}
        found += sum(module in kinds for module in modules)
        expected += sum(kind in here for kind in kinds.values())
    return (found / expected if expected else 0.0), expected - found


def _candidates(match: _Match) -> list[Candidate]:
    names = [f"{match.family}/{v}" for v in match.variants] or [match.family]
    return [Candidate(name, round(match.fit, 4), round(match.coverage, 4), len(match.conflicts),
                      match.missing) for name in names]


def _all_candidates(matches: list[_Match]) -> tuple[Candidate, ...]:
    """In the order in which the families list themselves and their variants."""
    places = list(FAMILIES)

    def place(candidate: Candidate) -> tuple[int, int]:
        family, _, variant = candidate.id.partition("/")
        return places.index(family), load_family(family).variants.index(variant) if variant else 0

    return tuple(sorted((c for m in matches for c in _candidates(m)), key=place))


def _says(match: _Match) -> str:
    explained = len(match.hits) - len(match.conflicts)
    return f"{explained} of {match.total} modules fit {load_family(match.family).title} in name and shape"


def _says_several(matches: list[_Match]) -> str:
    names = ", ".join(dict.fromkeys(load_family(m.family).title for m in matches))
    return f"the modules present fit each of {names}"
