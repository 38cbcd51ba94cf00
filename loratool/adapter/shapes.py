"""The shape of the update that a group's tensors imply, for every algorithm: enough to compare with a base model.

Source of the definitions: LyCORIS' modules, peft's tuners (docs/formats.md has them).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod

from .lora import read_shapes

Shape = tuple[int, ...]
Roles = Mapping[str, Shape]


def update_shape(algorithms: Collection[str], roles: Roles) -> Shape | None:
    """``(out, in, kh, kw)``, ``(out, in * kh * kw)``, ``(out,)`` where no more is known; None where nothing is.

    ``roles`` maps a factor's role to its shape.
    """
    for algorithm in algorithms:
        if algorithm in _RULES:
            try:
                return _RULES[algorithm](roles)
            except (KeyError, IndexError):
                return None
    return None


def _lora(roles: Roles) -> Shape | None:
    found = read_shapes(roles.get("up"), roles.get("down"), roles.get("mid"))
    return None if found.fault else (found.out, found.inner // prod(found.kernel), *found.kernel)


def _loha(roles: Roles) -> Shape:
    one, other = roles["w1_a"], roles["w1_b"]
    if "t1" in roles:
        return one[1], other[1] * prod(roles["t1"][2:])
    return one[0], prod(other[1:])


def _lokr(roles: Roles) -> Shape:
    rows, columns = roles["w1"] if "w1" in roles else (roles["w1_a"][0], roles["w1_b"][1])
    if "w2" in roles:
        inner = roles["w2"]
    elif "t2" in roles:
        inner = roles["w2_a"][1], roles["w2_b"][1] * prod(roles["t2"][2:])
    else:
        inner = roles["w2_a"][0], *roles["w2_b"][1:]
    return rows * inner[0], columns * prod(inner[1:])


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
    "lora": _lora, "loha": _loha, "lokr": _lokr, "glora": _glora, "oft": _oft, "norm": _norm,
    "full": lambda roles: roles["diff"] if "diff" in roles else roles["diff_b"][:1],
}
