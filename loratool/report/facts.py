"""What a screen says of a file, as labelled lines, before any layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..adapter.layer import TITLES
from ..checks.finding import Finding
from ..inspection.inspect import Inspection
from ..naming.families import family as load_family
from .sanitise import clean

SHOWN_FINDINGS = 6


@dataclass(frozen=True)
class Fact:
    """One idea: a label, what is so, and why it is believed."""

    key: str
    label: str
    value: str
    why: list[str] = field(default_factory=list)
    state: str = ""
    """ok, warn or broken where the fact is a judgement."""


def facts(found: Inspection) -> list[Fact]:
    """The default view of one file, in the order in which people ask."""
    made = [_base(found), _trigger(found), _adapter(found), _modules(found), _file(found)]
    made += _weights(found)
    made += [fact for fact in (_loaders(found), _training(found), _licence(found)) if fact is not None]
    return [*made, _health(found)]


def size(count: int) -> str:
    """Bytes in decimal units: 114.4 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def base_name(found: Inspection) -> str:
    """The base model in a few words."""
    family, candidates = found.base["family"], found.base["candidates"]
    if family:
        variant = found.base["variant"]
        return load_family(family).title + (f" {variant}" if variant else "")
    if found.base["confidence"] == "ambiguous":
        names = dict.fromkeys(c["id"].split("/")[0] for c in candidates)
        return " or ".join(load_family(n).title for n in names)
    return "unknown"


def _base(found: Inspection) -> Fact:
    why = [f"{found.base['confidence']}: {found.says}"] if found.says else []
    variants = [c["id"].partition("/")[2] for c in found.base["candidates"]]
    if found.base["family"] and len(variants) > 1:
        why.append("the tensors do not tell which: " + ", ".join(variants))
    declared = next((e for e in found.base["evidence"] if e["kind"] == "metadata"), None)
    if declared:
        why.append(f"the metadata says {clean(declared['says'])}")
    lineage = found.base["lineage"]
    if lineage:
        why.append(f"lineage {lineage['name']}, by the name of the base in the metadata")
    return Fact("base", "Base model", base_name(found), why)


def _trigger(found: Inspection) -> Fact:
    if not found.triggers:
        return Fact("trigger", "Trigger", "none declared")
    first = found.triggers[0]
    return Fact("trigger", "Trigger", clean(first.text, 120),
                [f"{first.confidence:.0%} sure: " + ", ".join(clean(e) for e in first.evidence)])


def _adapter(found: Inspection) -> Fact:
    a = found.adapter
    parts = [_algorithm_title(a["algorithm"], a["dora"]), f"{a['key_format']} names"]
    if a["ranks"]:
        parts.append("rank " + _some(a["ranks"]))
    alpha = a["alpha"]
    if alpha.get("values"):
        parts.append(f"alpha {_some(alpha['values'])} → scale {_some(alpha['scale'])}")
    source = {"tensor": "alpha is stored beside the weights", "metadata": "alpha from lora_adapter_metadata",
              "adapter_config": "alpha from adapter_config.json", "default": "no alpha stored: the scale is 1"}
    why = [source[alpha["source"]]] if "source" in alpha else []
    why += [clean(text) for text in a["declared_mismatch"]]
    return Fact("adapter", "Adapter", " · ".join(parts), why)


def _algorithm_title(algorithm: str, dora: bool) -> str:
    return ("DoRA on " if dora else "") + TITLES.get(algorithm, "no adapter")


def _some(counts: Mapping[str, int]) -> str:
    names = list(counts)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _modules(found: Inspection) -> Fact:
    counts = found.adapter["modules"]
    text = " · ".join(f"{count} {clean(name)}" for name, count in counts.items()) or "none"
    missing = next((c["missing"] for c in found.base["candidates"]), 0) if found.base["family"] else 0
    why = [f"{missing} modules of the kinds present are not in the file"] if missing else []
    return Fact("modules", "Modules", text, why)


def _file(found: Inspection) -> Fact:
    f = found.file
    dtypes = ", ".join(f["dtypes"]) or "no tensors"
    count = f["parameters"]
    weights = f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count}"
    return Fact("file", "File", f"{size(f['bytes'])} · {f['tensors']} tensors · {dtypes}",
                [f"{weights} weights, header {size(f['header_bytes'])}"])


BAR = 10


def _weights(found: Inspection) -> list[Fact]:
    """Strength, blocks and rank use, where the weights were read."""
    if not found.strength or not found.spectrum or not found.blocks:
        return []
    s, spectrum = found.strength, found.spectrum
    shares = [f"{name} {entry['energy_share']:.1%}" for name, entry in found.adapter["text_encoders"].items()
              if entry["energy_share"] is not None]
    strength = Fact("strength", "Strength", f"norm {s['fro_total']:.3g} · largest layer {s['fro_max']:.3g} · "
                    f"{s['keys_over_1']} layers above 1",
                    ["text encoders: " + ", ".join(shares) + " of the energy"] if shares else [])
    most = max(b["rms_fro"] for b in found.blocks) or 1.0
    lines = [f"{b['block']:8}{'█' * max(1, round(BAR * b['rms_fro'] / most)):{BAR}} {b['rms_fro']:.3g}, "
             f"{b['energy_share']:.1%} of the energy" for b in found.blocks]
    blocks = Fact("blocks", "Blocks", "norm of a module, root mean square", lines)
    needed = ", ".join(f"rank {rank} keeps {float(share):.0%}" for share, rank in spectrum["rank_for"].items())
    use = Fact("rank_use", "Rank use", f"effective {spectrum['effective_rank_median']:.1f}, stable "
               f"{spectrum['stable_rank_median']:.1f} (medians)", [needed, *map(_suggestion, spectrum["resize"][-3:])])
    return [strength, blocks, use]


def _suggestion(entry: Mapping[str, Any]) -> str:
    return f"resize {entry['rule']}: {size(entry['bytes'])}, error {entry['error']:.1%}"


def _loaders(found: Inspection) -> Fact | None:
    """One line a program; those that do not know the base model share one."""
    known = [loading for loading in found.loaders if loading.loads != "unknown" and loading.of]
    if not known:
        return None
    strangers = [loading for loading in known if loading.loads == "none" and loading.notes[0].startswith("version")]
    lines = [f"{loading.title} {clean(loading.says)}" for loading in known if loading not in strangers]
    if strangers:
        lines.append("no support for this base model: " + ", ".join(loading.title for loading in strangers))
    whole = sum(loading.loads == "all" and not loading.notes for loading in known)
    return Fact("loaders", "Loads in", f"{whole} of {len(known)} programs as it is", lines)


def _training(found: Inspection) -> Fact | None:
    t = found.training
    if not t:
        return None
    parts = []
    if t["images_unique"] or t["images"]:
        parts.append(f"{t['images_unique'] or t['images']} images")
    for key, form in (("epochs", "{} epochs"), ("steps", "{} steps"), ("optimizer", "{}"), ("scheduler", "{}")):
        if t[key] is not None:
            parts.append(form.format(clean(str(t[key]), 60)))
    if t["resolution"]:
        parts.append("×".join(map(str, t["resolution"])))
    why = [f"by {clean(t['tool'])}"] if t["tool"] else []
    if t["base_model_name"]:
        why.append(f"on {clean(t['base_model_name'], 60)}")
    if t["finished_at"]:
        why.append(f"finished {t['finished_at']}")
    return Fact("training", "Training", " · ".join(parts) or "some facts in the metadata",
                [", ".join(why)] if why else [])


def _licence(found: Inspection) -> Fact | None:
    said = found.licence
    if not said:
        return None
    parts = [clean(said["text"])] if said["text"] else []
    parts += [f"by {clean(said['author'])}"] if said["author"] else []
    return Fact("licence", "Licence", " · ".join(parts))


def _health(found: Inspection) -> Fact:
    depth = "in header and weights" if found.strength else "at header depth"
    words = {"ok": f"nothing found {depth}", "warn": "somebody should look", "broken": "broken"}
    return Fact("health", "Health", words[found.status], finding_lines(found.findings), found.status)


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Findings in one line each, equal ones counted."""
    counted: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        counted.setdefault((f.id, f.severity), []).append(f)
    order = {"error": 0, "warn": 1, "info": 2}
    lines = []
    for (rule, severity), same in sorted(counted.items(), key=lambda item: order[item[0][1]]):
        where = f" ({clean(same[0].key, 90)})" if same[0].key else ""
        more = f", and {len(same) - 1} more" if len(same) > 1 else ""
        lines.append(f"{severity} {rule}: {clean(same[0].message)}{where}{more}")
    if len(lines) > SHOWN_FINDINGS:
        lines = lines[:SHOWN_FINDINGS] + [f"and {len(lines) - SHOWN_FINDINGS} other kinds of finding"]
    return lines


def row(found: Inspection) -> tuple[str, ...]:
    """One file in a list: base, adapter, rank, trigger, size, health."""
    a = found.adapter
    trigger = clean(found.triggers[0].text, 40) if found.triggers else ""
    return (_base_id(found), _algorithm_title(a["algorithm"], a["dora"]), _rank_range(a["ranks"]),
            trigger, size(found.file["bytes"]), found.status)


def _base_id(found: Inspection) -> str:
    if found.base["confidence"] == "ambiguous":
        return "/".join(dict.fromkeys(c["id"].split("/")[0] for c in found.base["candidates"]))
    return found.base["family"] or "unknown"


def _rank_range(ranks: Mapping[str, int]) -> str:
    numbers = sorted(map(int, ranks))
    if not numbers:
        return ""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


ROW_TITLES = ("base", "adapter", "rank", "trigger", "size", "health")
