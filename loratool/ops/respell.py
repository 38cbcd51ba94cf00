"""One layer of a conversion: the pieces that make it up, moved, joined, scaled, renamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..adapter import linalg
from ..adapter.adapter import Adapter
from ..adapter.cover import WIDTH, Piece, bits, split_supports
from ..adapter.lora import LoraLayer
from ..errors import Unsound
from ..metadata import peft
from ..naming.address import Address, Rows, full
from ..naming.dialect import DIALECTS, Dialect
from ..tensors.codec import all_finite, decode, encode
from ..tensors.writer import TensorSpec
from . import fold as folding
from . import gate
from .origin import Fold, Origin
from .pack import WIDER, alpha_bytes, alpha_seen, alpha_spec
from .plan import OutLayer, Produced, Report

FACTOR_NAMES = {"kohya": ("lora_up.weight", "lora_down.weight", "lora_mid.weight"),
                "peft": ("lora_B.weight", "lora_A.weight", ""), "bare": ("up.weight", "down.weight", "")}


def lora_names(adapter: Adapter) -> tuple[str, str]:
    """The suffixes of up and down that the adapter's dialect has for a LoRA."""
    dialect = DIALECTS.get(adapter.key_format)
    style = dialect.style if dialect and dialect.style in FACTOR_NAMES else "kohya"
    return FACTOR_NAMES[style][0], FACTOR_NAMES[style][1]


@dataclass(frozen=True)
class Target:
    """Where a layer goes: its new stem, the rows it holds, and what the dialect demands."""

    stem: str
    address: Address
    out: int
    parts: tuple[Rows, ...]
    """The rows of all targets of the module: how the dialect splits it."""
    dialect: Dialect
    axes: tuple[int, int] | None
    """How many axes up and down must have; None: as they came."""
    came_from: Origin | None

    @property
    def configured(self) -> bool:
        """Whether the configuration that a file had before keeps its scale outside the factors."""
        return self.dialect.alpha == "folded" and bool(self.came_from and self.came_from.configuration)


@dataclass(frozen=True)
class Respelled:
    """A layer of the output, how the scale was folded into it, and whether a join made it grow."""

    layer: OutLayer
    fold: Fold | None
    grown: bool


@dataclass(frozen=True)
class _Term:
    """A piece with what its factors are multiplied by, and the scale that is left outside."""

    piece: Piece[LoraLayer]
    columns: np.ndarray | None
    rank: int
    scale: float
    multiply: Fold

    @property
    def layer(self) -> LoraLayer:
        return self.piece.layer


def respell(target: Target, pieces: Sequence[Piece[LoraLayer]]) -> list[Respelled]:
    """The layer for ``target``; none where a joined layer only pads this part with zeros."""
    terms = [term for piece in pieces if (term := _term(target, piece)) is not None]
    if not terms:
        return []
    scale = _outer_scale(target, terms)
    terms = [_scaled(term, scale) for term in terms]
    shared = _shares_down(terms)
    rank = terms[0].rank if shared else sum(term.rank for term in terms)
    alpha = _alpha(terms, scale, rank)
    specs = _specs(target, terms, rank, alpha)
    if "alpha" in specs:
        alpha = alpha_seen(specs["alpha"], alpha)
    first = terms[0].layer
    layer = OutLayer(target.stem, *peft.split_stem(target.stem), rank, alpha, min(target.out, first.inner),
                     first.is_spatial, target.address, tuple(specs.values()),
                     lambda: _compute(target, terms, specs, rank, alpha, shared))
    one = {term.multiply for term in terms}
    folded = target.dialect.alpha == "folded" and not target.configured
    kept = one.pop() if len(one) == 1 and folded else None
    if kept is not None and not all(map(folding.is_power_of_two, kept)):
        kept = None
    has_alpha = all(term.layer.alpha.source != "default" for term in terms)
    return [Respelled(layer, kept if has_alpha else None, len(terms) > 1 and not shared)]


def _term(target: Target, piece: Piece[LoraLayer]) -> _Term | None:
    layer, columns, rank = piece.layer, None, piece.layer.rank
    whole = (layer.address.rows if layer.address else None) or full(layer.out)
    wanted = target.address.rows or full(target.out)
    inside = [part for part in target.parts if _within(part, whole)]
    if len(inside) > 1 and not layer.has_mid:
        supports = split_supports(bits(layer, "up"), inside, whole)
        if supports is not None:
            columns = np.flatnonzero(supports[inside.index(wanted)])
            rank = len(columns)
            if rank == 0 and not layer.extras:
                return None
            if rank == 0:
                columns, rank = None, layer.rank
    unfolded = _unfold(target.came_from, layer)
    scale = layer.scale if unfolded is None else layer.scale / (unfolded[0] * unfolded[1])
    return _Term(piece, columns, rank, scale, unfolded or folding.NONE)


def _within(part: Rows, whole: Rows) -> bool:
    return all(any(begin <= a and b <= end for begin, end in whole) for a, b in part)


def _unfold(came_from: Origin | None, layer: LoraLayer) -> Fold | None:
    """What undoes the fold of an earlier conversion; None where there was none."""
    kept = came_from.of(layer.stem) if came_from else None
    if kept is None or layer.has_mid:
        return None
    undo = 1.0 / kept[0], 1.0 / kept[1]
    for role, factor in zip(("up", "down"), undo, strict=True):
        if factor != 1.0 and folding.lossy(bits(layer, role), _stored(layer, role), round(np.log2(factor))):
            return None
    return undo


def _outer_scale(target: Target, terms: Sequence[_Term]) -> float:
    """The scale that stays outside the factors: 1 where the dialect has no alpha."""
    if target.dialect.alpha == "folded" and not target.configured:
        return 1.0
    counted = Counter(term.scale for term in terms if term.scale != 0.0).most_common(1)
    return counted[0][0] if counted else 0.0


def _scaled(term: _Term, scale: float) -> _Term:
    if term.scale == scale:
        return term
    if scale == 0.0:
        raise AssertionError("a zero scale cannot stay outside")
    dtypes = _stored(term.layer, "up"), _stored(term.layer, "down")
    chosen = folding.choose(bits(term.layer, "up"), bits(term.layer, "down"), dtypes, term.scale / scale)
    return _Term(term.piece, term.columns, term.rank, scale,
                 (term.multiply[0] * chosen[0], term.multiply[1] * chosen[1]))


def _stored(layer: LoraLayer, role: str) -> str:
    return layer.file.tensors[layer.group.roles[role]].dtype


def _shares_down(terms: Sequence[_Term]) -> bool:
    """Whether one ``down`` serves all terms."""
    first = terms[0]
    if len(terms) == 1:
        return True
    if any(t.columns is not None or t.layer.has_mid or t.rank != first.rank or t.multiply[1] != first.multiply[1]
           or t.layer.dtype != first.layer.dtype for t in terms):
        return False
    kept = bits(first.layer, "down")
    return all(np.array_equal(kept, bits(t.layer, "down")) for t in terms[1:])


def _names(target: Target, layer: LoraLayer) -> tuple[str, str, str]:
    style = target.dialect.style or (target.came_from.style if target.came_from else "")
    if style in FACTOR_NAMES:
        up, down, mid = FACTOR_NAMES[style]
    elif layer.group.style == "bare" or layer.group.adapter_name:
        # Bare ones only stand after a module's name that ends in "lora"; PEFT's name of the adapter can tell how
        # rows lie, and other programs ignore layers that have it.
        up, down, mid = FACTOR_NAMES["peft"]
    else:
        suffixes = layer.group.suffixes
        up, down, mid = suffixes["up"], suffixes["down"], suffixes.get("mid", "lora_mid.weight")
    return f"{target.stem}.{up}", f"{target.stem}.{down}", f"{target.stem}.{mid}" if mid else ""


def _dtype(terms: Sequence[_Term], role: str) -> str:
    """The dtype of a factor: the pieces' own, or one that holds all of theirs exactly."""
    found = {info.dtype for term in terms if (info := term.layer.info(role)) is not None}
    if len(found) == 1:
        return found.pop()
    return "F64" if "F64" in found else "F32"


def _alpha(terms: Sequence[_Term], scale: float, rank: int) -> float:
    """The alpha whose ratio to ``rank`` is ``scale``: a term's own where it is right, for (a / r) * r need not be a."""
    for term in terms:
        if term.layer.rank == rank and term.layer.scale == scale:
            return term.layer.alpha.value
    short = float(np.float32(scale * rank))
    return short if short / rank == scale else scale * rank


def _specs(target: Target, terms: Sequence[_Term], rank: int, alpha: float) -> dict[str, TensorSpec]:
    layer = terms[0].layer
    up, down, mid = _names(target, layer)
    up_info, down_info = layer.info("up"), layer.info("down")
    assert up_info and down_info
    keeps_mid = layer.has_mid and bool(mid) and len(terms) == 1
    kernel = down_info.shape[2:] if not layer.has_mid or keeps_mid else layer.kernel
    up_tail: tuple[int, ...] = up_info.shape[2:]
    if target.axes is not None:
        wanted = target.axes[1] - 2
        kernel = (kernel + (1,) * wanted)[:wanted] if len(kernel) < wanted or set(kernel[wanted:]) <= {1} else kernel
        up_tail = (1,) * (target.axes[0] - 2)
    specs = {"up": TensorSpec(up, _dtype(terms, "up"), (target.out, rank, *up_tail)),
             "down": TensorSpec(down, _dtype(terms, "down"), (rank if not keeps_mid else down_info.shape[0],
                                                        down_info.shape[1], *kernel))}
    if keeps_mid:
        mid_info = layer.info("mid")
        assert mid_info
        specs["mid"] = TensorSpec(mid, mid_info.dtype, mid_info.shape)
    if _writes_alpha(target, terms):
        specs["alpha"] = _alpha_spec(target, terms, alpha)
    return specs


def _writes_alpha(target: Target, terms: Sequence[_Term]) -> bool:
    """A dialect with alphas gets one where the source had one, or where the source's form has none."""
    if target.dialect.alpha == "folded":
        return False
    if any(t.scale != 1.0 for t in terms):
        return True
    if target.came_from is not None:
        return target.came_from.alpha_dtype is not None
    if any(t.layer.alpha.source != "default" for t in terms):
        return True
    return terms[0].layer.group.style == "peft" and target.dialect.style == "kohya"


def _alpha_spec(target: Target, terms: Sequence[_Term], value: float) -> TensorSpec:
    name = f"{target.stem}.alpha"
    stored = terms[0].layer.info("alpha")
    if stored is not None:
        return alpha_spec(name, value, stored.dtype, stored.shape)
    if target.came_from and target.came_from.alpha_dtype:
        return alpha_spec(name, value, target.came_from.alpha_dtype, target.came_from.alpha_shape)
    return alpha_spec(name, value, terms[0].layer.dtype)


def _compute(target: Target, terms: Sequence[_Term], specs: dict[str, TensorSpec], rank: int, alpha: float,
             shared: bool) -> Produced:
    """``alpha`` as a reader sees it."""
    before = max(term.layer.rank for term in terms)
    parts = [_factors(target, term, specs) for term in terms]
    moved = all(exact for _, _, exact in parts)
    if shared:
        up = parts[0][0] if len(parts) == 1 else np.bitwise_or.reduce([up for up, _, _ in parts])
        down = parts[0][1]
    else:
        up = np.hstack([up for up, _, _ in parts])
        down = np.vstack([down for _, down, _ in parts])
    tensors = {specs["up"].name: up.tobytes(), specs["down"].name: down.tobytes()}
    if "mid" in specs:
        tensors[specs["mid"].name] = terms[0].layer.file.raw(terms[0].layer.group.roles["mid"])
    if "alpha" in specs:
        tensors[specs["alpha"].name] = alpha_bytes(specs["alpha"], alpha)
    moved = moved and alpha / rank == terms[0].scale
    return Produced(tensors, _report(target, terms, specs, (up, down), alpha / rank, before, rank, moved))


def _factors(target: Target, term: _Term, specs: dict[str, TensorSpec]) -> tuple[np.ndarray, np.ndarray, bool]:
    """The stored bits of a term's factors in their new place, and whether every value is exact."""
    layer = term.layer
    up, up_exact = _multiplied(layer, "up", term.multiply[0], specs["up"].dtype)
    if layer.has_mid and "mid" not in specs:
        raw = encode(gate.finite(layer.down(), layer) * term.multiply[1], specs["down"].dtype)
        down = np.frombuffer(raw, WIDTH[specs["down"].dtype]).reshape(layer.rank, layer.inner)
        down_exact = False
    else:
        down, down_exact = _multiplied(layer, "down", term.multiply[1], specs["down"].dtype)
    if term.columns is not None:
        up, down = up[:, term.columns], down[term.columns]
    return term.piece.place(up, target.out), down, up_exact and down_exact


def _multiplied(layer: LoraLayer, role: str, factor: float, dtype: str) -> tuple[np.ndarray, bool]:
    """The factor times ``factor`` as bits of ``dtype``, and whether every value is exact."""
    info = layer.file.tensors[layer.group.roles[role]]
    stored = np.frombuffer(gate.finite_raw(layer, role), WIDTH[info.dtype]).reshape(info.shape[0], -1)
    if factor == 1.0 and info.dtype == dtype:
        return stored, True
    wanted = decode(stored.tobytes(), info.dtype, stored.shape) * factor
    raw = encode(wanted, dtype)
    if not all_finite(raw, dtype):
        raise Unsound(f"times {factor} is too large for {dtype}", path=layer.file.path, key=info.name, hint=WIDER)
    return (np.frombuffer(raw, WIDTH[dtype]).reshape(stored.shape),
            bool(np.array_equal(decode(raw, dtype, stored.shape), wanted)))


def _report(target: Target, terms: Sequence[_Term], specs: dict[str, TensorSpec],
            written: tuple[np.ndarray, np.ndarray], scale: float, before: int, rank: int, moved: bool) -> Report:
    if moved:
        return Report(target.stem, before, rank, measure=lambda: linalg.norm(*_effective(target, terms)))
    up_seen = decode(written[0].tobytes(), specs["up"].dtype, written[0].shape)
    down_seen = decode(written[1].tobytes(), specs["down"].dtype, written[1].shape)
    up, down = _effective(target, terms)
    error = linalg.distance(up_seen * scale, down_seen, up, down)
    return Report(target.stem, before, rank, error, 0.0, linalg.norm(up, down), exact=error == 0.0)


def _effective(target: Target, terms: Sequence[_Term]) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the update that the terms have in their files, float64, the scale in ``up``."""
    return linalg.stack([(t.piece.place(t.layer.up(), target.out) * t.layer.scale, t.layer.down()) for t in terms])


