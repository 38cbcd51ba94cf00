"""Are the numbers sound? Reads every byte once, at memory speed."""

from __future__ import annotations

from collections.abc import Iterator

from ..adapter.adapter import Adapter, Source
from ..adapter.lora import LoraLayer
from .finding import Finding, finding


def check(adapter: Adapter, threads: int = 1) -> Iterator[Finding]:
    """NONFINITE for each tensor, ZERO_LAYER for each layer that changes nothing."""
    from concurrent.futures import ThreadPoolExecutor

    from ..tensors.codec import extent

    places = [(source, info.name) for source in adapter.sources for info in source.file.header.in_file_order()]

    def look(place: tuple[Source, str]) -> tuple[bool, bool]:
        source, key = place
        return extent(source.file.raw(key), source.file.tensors[key].dtype)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        seen = dict(zip(((id(s.file), key) for s, key in places), pool.map(look, places), strict=True))
    for source, key in places:
        if not seen[id(source.file), key][0]:
            yield finding("NONFINITE", "holds NaN or infinite values", key)
    yield from _zeros(adapter, seen)


def _zeros(adapter: Adapter, seen: dict[tuple[int, str], tuple[bool, bool]]) -> Iterator[Finding]:
    layers = adapter.lora_layers
    dead: list[tuple[LoraLayer, str]] = []
    for layer in layers:
        zero = [role for role in ("up", "down", "mid") if role in layer.group.roles
                and seen[id(layer.file), layer.group.roles[role]][1]]
        if zero:
            dead.append((layer, zero[0]))
    if dead and len(dead) == len(adapter.layers):
        yield finding("NO_EFFECT", f"all {len(dead)} layers are zero")
    for layer, role in dead:
        what = "created but not trained" if role == "up" else "no update"
        yield finding("ZERO_LAYER", f"{role} is all zero: {what}", layer.stem)
