"""Trigger words: what a file declares, and what its tag table suggests.

``ss_tag_frequency`` counts images, not repeats; it contains the regularisation folders, which are
left out here; its first key of a folder is the first tag of the first caption.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .fields import document, text, whole

Metadata = Mapping[str, str]
_GENERIC = {"solo", "simple background", "white background", "looking at viewer", "no humans", "scenery",
            "photo", "realistic", "masterpiece", "best quality"}
_FOLDER = re.compile(r"\d+_(.+)")


class Trigger(NamedTuple):
    """``confidence`` in [0, 1]: 0.99 for a declaration, less for what is inferred."""

    text: str
    confidence: float
    evidence: tuple[str, ...]


class Tag(NamedTuple):
    """A tag and the number of images that have it."""

    text: str
    images: int
    folders: tuple[str, ...]


def tags(metadata: Metadata) -> list[Tag]:
    """All tags, most frequent first, regularisation folders left out."""
    counts: dict[str, int] = {}
    folders: dict[str, list[str]] = {}
    for folder, table in _folders(metadata).items():
        for raw, count in table.items():
            tag = raw.strip()
            if tag and isinstance(count, int) and not isinstance(count, bool):
                counts[tag] = counts.get(tag, 0) + count
                folders.setdefault(tag, []).append(folder)
    ranked = sorted(counts, key=lambda t: -counts[t])
    return [Tag(t, counts[t], tuple(folders[t])) for t in ranked]


def _folders(metadata: Metadata) -> dict[str, dict[str, object]]:
    table = document(metadata, "ss_tag_frequency")
    if not isinstance(table, dict):
        return {}
    regular = document(metadata, "ss_reg_dataset_dirs")
    left_out = set(regular) if isinstance(regular, dict) else set()
    return {f: t for f, t in table.items() if isinstance(t, dict) and f not in left_out}


def images(metadata: Metadata) -> int | None:
    """Unique training images, regularisation left out; None when the file does not say."""
    folders = document(metadata, "ss_dataset_dirs")
    if not isinstance(folders, dict):
        return None
    counts = [f["img_count"] for f in folders.values()
              if isinstance(f, dict) and isinstance(f.get("img_count"), int)]
    return sum(counts) or None


def triggers(metadata: Metadata) -> list[Trigger]:
    """The likely trigger words, the surest first. Always with the reason."""
    found: list[Trigger] = []
    for key in ("modelspec.trigger_phrase", "ss_trigger_words", "trained_words"):
        said = text(metadata, key)
        if said:
            found.append(Trigger(said, 0.99, (f"declared in {key}",)))
    found += _from_tags(metadata)
    if not found:
        found += _from_folders(metadata)
    unique: dict[str, Trigger] = {}
    for trigger in sorted(found, key=lambda t: -t.confidence):
        unique.setdefault(trigger.text.lower(), trigger)
    return list(unique.values())[:3]


def _from_tags(metadata: Metadata) -> list[Trigger]:
    folders, ranked = _folders(metadata), tags(metadata)
    if not ranked:
        return []
    if all(list(t) == [f.partition("_")[2]] and f.startswith("1_") for f, t in folders.items()):
        return [Trigger(ranked[0].text, 0.97, ("the only tag of its folder (ai-toolkit's way to declare)",))]
    top = ranked[0]
    total = images(metadata) or max((t.images for t in ranked), default=0)
    share = min(1.0, top.images / total) if total else 0.0
    evidence = [f"most frequent tag: on {top.images} of {total} images"]
    doubt = 1.0 - (0.5 if share >= 0.95 else 0.3 * share)
    if any(next(iter(t), "").strip() == top.text for t in folders.values()):
        evidence.append("first tag of the captions")
        doubt *= 0.6
    if (whole(metadata, "ss_keep_tokens") or 0) >= 1:
        evidence.append(f"keep_tokens={metadata['ss_keep_tokens']}")
        doubt *= 0.8
    confidence = 1.0 - doubt
    if top.text.lower() in _GENERIC:
        evidence.append("but a common word")
        confidence = max(0.05, confidence - 0.3)
    return [Trigger(top.text, round(confidence, 2), tuple(evidence))]


def _from_folders(metadata: Metadata) -> list[Trigger]:
    folders = document(metadata, "ss_dataset_dirs")
    if not isinstance(folders, dict):
        return []
    names = [m[1] for f in folders if (m := _FOLDER.fullmatch(f))]
    return [Trigger(name, 0.5, ("name of the training folder",)) for name in dict.fromkeys(names)]
