"""Which base model an adapter is for: a check of every name and shape, not one telling key.

Source of the idea: of the families whose tables hold every module with its shape, a file belongs
to those whose kinds of module it covers. What cannot be told apart is reported as a set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from . import index
from .address import DENOISER, Address, height
from .dialect import is_encoder_prefix
from .families import family as load_family
from .family import Family
from .keymap import Hit, keymap

LEAST_FIT = 0.75
"""Below this share of explained modules a family is not named."""
MOST_CONFLICTS = 0.1
MOST_OUT_OF_RANGE = 0.02
"""Blocks that a family does not have speak for another, larger one."""
MOST_OF_IT = 0.4
"""The share of a denoiser's modules from which on a perfect fit is called proved."""
CONSIDERED = 6
WORTH_A_LOOK = 0.6
"""Families with less than this share of the best score in the index are not loaded."""


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
    hits: dict[str, Hit] = field(default_factory=dict)
    """Stem -> address, by the family's tables."""
    conflicts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Stem -> the shape that the family has, where the file has another."""
    unexplained: tuple[str, ...] = ()
    says: str = ""

    @property
    def possible(self) -> set[str]:
        """The families that remain possible."""
        return {self.family} if self.family else {c.id.split("/")[0] for c in self.candidates}


@dataclass(frozen=True)
class _Match:
    family: str
    hits: dict[str, Hit]
    conflicts: dict[str, tuple[int, ...]]
    unexplained: tuple[str, ...]
    total: int
    out_of_range: int
    coverage: float
    missing: int
    variants: tuple[str, ...]
    shaped: int
    """How many modules were found with a shape to compare."""

    @property
    def fit(self) -> float:
        return (len(self.hits) - len(self.conflicts)) / self.total

    @property
    def beyond_doubt(self) -> bool:
        """A few modules can be those of a model that no table describes; most of a network cannot."""
        family = load_family(self.family)
        denoiser = {hit.address.module for hit in self.hits.values() if hit.address.component == DENOISER}
        told = not family.telling or any(name.endswith(family.telling) for name in denoiser)
        return (self.fit == 1.0 and self.shaped > 0 and told
                and len(denoiser) >= MOST_OF_IT * len(family.tree.modules))

    @property
    def acceptable(self) -> bool:
        return (self.fit >= LEAST_FIT and len(self.conflicts) <= MOST_CONFLICTS * self.total
                and self.out_of_range <= MOST_OUT_OF_RANGE * self.total
                and (self.shaped > 0 or self.coverage == 1.0))


def identify(modules: Sequence[Spelled], declared: str | None = None) -> Identification:
    """Identify from names and shapes; ``declared`` (the metadata's word) only decides ties.

    ``declared`` is a family or ``family/variant``.
    """
    if not modules:
        return Identification(None, None, "unknown", ())
    matches = [m for m in (_match(f, modules) for f in _shortlist(modules)) if m.hits]
    matches.sort(key=lambda m: (-m.fit, -m.coverage, m.family))
    good = [m for m in matches if m.acceptable]
    if not good:
        best = tuple(c for m in matches[:3] for c in _candidates(m)[:1])
        return Identification(None, None, "unknown", best,
                              unexplained=matches[0].unexplained if matches else
                              tuple(m.stem for m in modules))
    equals = _equals(good)
    chosen, confidence = _choose(equals, declared)
    if chosen is None:
        # Addresses by the first of them: enough to see which layers of the file are one weight.
        return Identification(None, None, "ambiguous", tuple(c for m in equals for c in _candidates(m)),
                              equals[0].hits, {}, equals[0].unexplained, _says_several(equals))
    return Identification(chosen.family, _variant(chosen, declared), confidence,
                          tuple(_candidates(chosen)), chosen.hits, chosen.conflicts,
                          chosen.unexplained, _says(chosen))


def _equals(good: list[_Match]) -> list[_Match]:
    """The matches that nothing in the tensors prefers one to another."""
    best = [m for m in good if m.fit >= good[0].fit - 1e-9]
    whole = [m for m in best if m.coverage == 1.0]
    return whole or best


def _choose(equals: list[_Match], declared: str | None) -> tuple[_Match | None, str]:
    if len(equals) == 1:
        return equals[0], "proved" if equals[0].beyond_doubt else "likely"
    word = (declared or "").split("/")[0]
    named = [m for m in equals if m.family == word]
    return (named[0], "likely") if named else (None, "ambiguous")


def _variant(match: _Match, declared: str | None) -> str | None:
    if len(match.variants) == 1:
        return match.variants[0]
    family, _, variant = (declared or "").partition("/")
    return variant if family == match.family and variant in match.variants else None


def _shortlist(modules: Sequence[Spelled]) -> list[str]:
    """The families that the index finds most of the file's patterns and shapes in."""
    table = index.load()
    counted = Counter((index.pattern(m.name), m.shape and index.plain(m.shape)) for m in modules)
    score: Counter[str] = Counter()
    for (name, shape), count in counted.items():
        for network, shapes in table["patterns"].get(name, {}).items():
            score[network] += count * (2 if shape is None or list(shape) in shapes else 1)
    by_family = {f: sum(score[n] for n in networks) for f, networks in table["families"].items()}
    least = WORTH_A_LOOK * max(by_family.values(), default=0)
    ranked = sorted((f for f in by_family if by_family[f] > 0 and by_family[f] >= least),
                    key=lambda f: (-by_family[f], f))
    return ranked[:CONSIDERED]


def _match(family_id: str, modules: Sequence[Spelled]) -> _Match:
    keys = keymap(family_id)
    hits: dict[str, Hit] = {}
    conflicts: dict[str, tuple[int, ...]] = {}
    unexplained: list[str] = []
    variants = set(keys.family.variants)
    varying = {name for changed in keys.family.variants.values() for name in changed}
    out_of_range = 0
    known: set[str] | None = None
    for module in modules:
        hit = keys.read(module.prefix, module.name)
        if hit is None:
            unexplained.append(module.stem)
            if known is None:
                known = {p for p, by in index.load()["patterns"].items() if keys.family.tree.id in by}
            out_of_range += not is_encoder_prefix(module.prefix) and index.pattern(module.name) in known
            continue
        hits[module.stem] = hit
        usual = keys.shape(hit.address)
        if hit.address.component == DENOISER and hit.address.module in varying:
            allowed = _allowed(keys.family, hit.address, module.shape)
            variants &= allowed or variants
            fits = bool(allowed)
        else:
            fits = module.shape is None or index.plain(module.shape) == index.plain(usual)
        if not fits:
            conflicts[module.stem] = usual
    coverage, missing = _coverage(family_id, hits)
    return _Match(family_id, hits, conflicts, tuple(unexplained), len(modules), out_of_range,
                  coverage, missing, tuple(v for v in keys.family.variants if v in variants),
                  sum(m.stem in hits and m.shape is not None for m in modules))


def _allowed(family: Family, address: Address, shape: tuple[int, ...] | None) -> set[str]:
    """The variants that have this module in this shape."""
    allowed: set[str] = set()
    for own, variants in family.shapes(address.module).items():
        if own is None:
            continue
        fitted = own if address.rows is None else (height(address.rows), *own[1:])
        if shape is None or index.plain(shape) == index.plain(fitted):
            allowed.update(variants)
    return allowed


def _coverage(family_id: str, hits: dict[str, Hit]) -> tuple[float, int]:
    """The share of the family's modules of the kinds present that the file has; what it lacks."""
    kinds: dict[str, set[str]] = {}
    present: dict[str, set[str]] = {}
    for hit in hits.values():
        kinds.setdefault(hit.address.component, set()).add(index.pattern(hit.address.module))
        present.setdefault(hit.address.component, set()).add(hit.address.module)
    trees = keymap(family_id).trees
    expected = sum(index.pattern(name) in kinds[c] for c in kinds for name in trees[c].modules)
    found = sum(map(len, present.values()))
    return (found / expected if expected else 0.0), expected - found


def _candidates(match: _Match) -> list[Candidate]:
    names = [f"{match.family}/{v}" for v in match.variants] or [match.family]
    return [Candidate(name, round(match.fit, 4), round(match.coverage, 4), len(match.conflicts),
                      match.missing) for name in names]


def _says(match: _Match) -> str:
    explained = len(match.hits) - len(match.conflicts)
    return f"{explained} of {match.total} modules fit {load_family(match.family).title} in name and shape"


def _says_several(matches: list[_Match]) -> str:
    names = ", ".join(load_family(m.family).title for m in matches)
    return f"the modules present fit each of {names}"
