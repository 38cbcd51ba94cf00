"""Does it fit the base model, and does the metadata agree?"""

from __future__ import annotations

from collections.abc import Iterator

from ..adapter.adapter import Adapter
from ..metadata.fields import number
from ..naming.families import family as load_family
from .finding import Finding, finding


def check(adapter: Adapter) -> Iterator[Finding]:
    found = adapter.identification
    if adapter.layers and found.family is None:
        if found.confidence == "ambiguous":
            yield finding("FAMILY_AMBIGUOUS", found.says)
        else:
            yield finding("FAMILY_UNKNOWN", "no known base model has these modules")
    yield from _fit(adapter)
    yield from _declared_base(adapter)
    yield from (finding("DECLARED_MISMATCH", message, key) for key, message in declared_mismatch(adapter))


def _fit(adapter: Adapter) -> Iterator[Finding]:
    found = adapter.identification
    if not found.models:
        return
    title = " or ".join(load_family(f).title for f in sorted(found.possible))
    for stem, expected in found.conflicts.items():
        shapes = adapter.shapes.get(stem)
        own = f"{shapes.out} x {shapes.inner}" if shapes and not shapes.fault else "another shape"
        yield finding("SHAPE_MISMATCH", f"is {own}, {title} has {' x '.join(map(str, expected))}", stem)
    for stem in found.unexplained:
        yield finding("UNKNOWN_MODULE", f"{title} has no such module", stem)


def _declared_base(adapter: Adapter) -> Iterator[Finding]:
    message = base_conflict(adapter)
    if message:
        yield finding("BASE_CONFLICT", message, adapter.declared.key if adapter.declared else "")


def base_conflict(adapter: Adapter) -> str | None:
    """How the metadata's base model contradicts the tensors, if it does."""
    declared, possible = adapter.declared, adapter.identification.possible
    if declared is None or not possible or adapter.identification.confidence == "unknown":
        return None
    if declared.id.split("/")[0] in possible:
        return None
    titles = " or ".join(load_family(f).title for f in sorted(possible))
    return f"{declared.key} says {declared.word!r}, the tensors fit {titles}"


def declared_mismatch(adapter: Adapter) -> list[tuple[str, str]]:
    """Where ``ss_network_dim`` and ``ss_network_alpha`` differ from every linear layer."""
    linear = [layer for layer in adapter.lora_layers if not layer.is_spatial]
    if not linear:
        return []
    found: list[tuple[str, str]] = []
    for key, values in (("ss_network_dim", {float(layer.rank) for layer in linear}),
                        ("ss_network_alpha", {layer.alpha.value for layer in linear})):
        said = number(adapter.metadata, key)
        if said is not None and said not in values:
            told = f"{min(values):g}" if len(values) == 1 else f"{min(values):g} to {max(values):g}"
            found.append((key, f"says {said:g}, the tensors say {told}"))
    return found
