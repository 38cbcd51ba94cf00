"""Dialects and who reads them, as data and as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..loaders import program
from ..loaders.matrix import Reading, readers, readings
from ..naming.dialect import DIALECTS
from ..naming.families import FAMILIES, family


def document(family_id: str | None) -> dict[str, Any]:
    if family_id:
        return {"family": _family(family_id), "dialects": [
            {"id": r.dialect, "example": r.example, "loads_all": list(r.loads_all), "loads_part": list(r.loads_part)}
            for r in readings(family_id)]}
    return {"dialects": [{"id": d.id, "prefix": d.prefix, "written_by": d.title, "alpha": d.alpha, "target": d.written,
                          "read_by": readers(d)} for d in DIALECTS.values()],
            "families": [_family(name) for name in FAMILIES]}


def _family(name: str) -> dict[str, Any]:
    found = family(name)
    return {"id": name, "title": found.title, "variants": found.variants, "text_encoders": list(found.encoders)}


def rows(family_id: str | None) -> list[tuple[str, ...]]:
    """A head and a row for each dialect."""
    if family_id:
        return [("dialect", "a module in it", "loaded whole by", "in part by"),
                *((r.dialect, r.example or "no names for this family", titles(r.loads_all), titles(r.loads_part))
                  for r in readings(family_id))]
    return [("dialect", "denoiser keys begin with", "written by", "read by"),
            *((d.id + (" *" if d.written else ""), d.prefix.replace("{root}.", "unet. or transformer.") or "the module",
               d.title, titles(readers(d))) for d in DIALECTS.values())]


def titles(programs: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    return ", ".join(program(name).title for name in programs)


LETTERS = {"comfyui": "C", "diffusers": "D", "a1111": "A", "forge": "F", "invokeai": "I", "sd-scripts": "S",
           "musubi-tuner": "M"}


def cell(reading: Reading) -> str:
    """A cell of the table of families and dialects: letters of programs, small where only a part is loaded."""
    if not reading.example:
        return "–"
    return " ".join([LETTERS[p] for p in reading.loads_all] + [LETTERS[p].lower() for p in reading.loads_part]) or "·"


def table() -> str:
    """Markdown: families by dialects."""
    targets = [d.id for d in DIALECTS.values() if d.written]
    lines = ["| family | " + " | ".join(targets) + " |", "|---|" + "---|" * len(targets)]
    lines += [f"| {name} | " + " | ".join(map(cell, readings(name))) + " |" for name in FAMILIES]
    return "\n".join(lines)
