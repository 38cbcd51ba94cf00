"""The algorithms: which layers have factors, and the shape of every update for comparison with a base model.

Source of the definitions: LyCORIS' modules, peft's tuners (docs/formats.md has them).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod

from .factored import FactoredLayer, Shape
from .loha import LohaLayer
from .lokr import LokrLayer
from .lora import LoraLayer

Roles = Mapping[str, Shape]

FACTORED: dict[str, type[FactoredLayer]] = {"lora": LoraLayer, "loha": LohaLayer, "lokr": LokrLayer}
"""The algorithms whose updates are products of two matrices."""


def update_shape(algorithms: Collection[str], roles: Roles) -> Shape | None:
    """``(out, in, kh, kw)``, ``(out, in * kh * kw)``, ``(out,)`` where no more is known; None where nothing is.

    ``roles`` maps a factor's role to its shape.
    """
    for algorithm in algorithms:
        if algorithm in FACTORED:
            return FACTORED[algorithm].read_shapes(roles).update
        if algorithm in _RULES:
            try:
                return _RULES[algorithm](roles)
            except (KeyError, IndexError):
                return None
    return None


def _glora(roles: Roles) -> Shape:
    one, other = roles["b1"], roles["b2"]
    if one[1] == other[0]:
        return one[0], prod(other[1:])
    return other[0], prod(one[1:])


def _oft(roles: Roles) -> Shape:
    blocks = [shape for role, shape in roles.items() if role.startswith("blocks")]
    return (sum(shape[-3] * shape[-2] for shape in blocks),) if blocks else _no_shape(roles)


def _norm(roles: Roles) -> Shape:
    return next(shape[:1] for role, shape in roles.items() if role in ("w_norm", "b_norm", "set_weight"))


def _no_shape(roles: Roles) -> Shape:
    raise KeyError


_RULES: dict[str, Callable[[Roles], Shape | None]] = {
    "glora": _glora, "oft": _oft, "norm": _norm,
    "full": lambda roles: roles["diff"] if "diff" in roles else roles["diff_b"][:1],
}
