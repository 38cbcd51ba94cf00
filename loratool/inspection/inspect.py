"""From an adapter's header to an Inspection. Reads no weights but the alphas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..adapter.adapter import Adapter
from ..adapter.factored import FactoredLayer
from ..adapter.layer import Layer
from ..adapter.lora import LoraLayer
from ..checks.family import base_conflict, declared_mismatch
from ..checks.finding import Finding
from ..checks.run import header_checks, verdict_of
from ..loaders.judge import Loading, judge_all
from ..metadata import training
from ..metadata import triggers as words
from ..metadata.fields import text, unparsed
from ..naming.address import DENOISER
from ..naming.dialect import is_encoder_prefix

if TYPE_CHECKING:
    from .weights import Weights

SCHEMA = "loratool/inspect/1"
SHOWN_TAGS = 50


@dataclass(frozen=True)
class Inspection:
    """The sections of inspect.schema.json, each a plain mapping; None: not known."""

    path: str
    file: Mapping[str, Any]
    identity: Mapping[str, Any]
    base: Mapping[str, Any]
    adapter: Mapping[str, Any]
    triggers: tuple[words.Trigger, ...]
    training: Mapping[str, Any] | None
    licence: Mapping[str, Any] | None
    tags: tuple[words.Tag, ...]
    images: int | None
    layers: tuple[Mapping[str, Any], ...] | None
    findings: tuple[Finding, ...]
    metadata: Mapping[str, str]
    says: str
    """What the tensors say of the base model, in words."""
    loaders: tuple[Loading, ...]
    strength: Mapping[str, Any] | None = None
    spectrum: Mapping[str, Any] | None = None
    blocks: tuple[Mapping[str, Any], ...] | None = None

    @property
    def status(self) -> str:
        return verdict_of(self.findings)

    def document(self) -> dict[str, Any]:
        """As inspect.schema.json describes it."""
        return {
            "schema": SCHEMA,
            "tool": {"version": __version__},
            "depth": "header" if self.strength is None else "weights",
            "file": dict(self.file),
            "identity": dict(self.identity),
            "base": dict(self.base),
            "adapter": dict(self.adapter),
            "triggers": [{"text": t.text, "confidence": t.confidence, "evidence": list(t.evidence)}
                         for t in self.triggers],
            "strength": dict(self.strength) if self.strength else None,
            "spectrum": dict(self.spectrum) if self.spectrum else None,
            "blocks": [dict(block) for block in self.blocks] if self.blocks else None,
            "layers": [dict(layer) for layer in self.layers] if self.layers is not None else None,
            "health": {"status": self.status, "findings": _grouped(self.findings)},
            "training": dict(self.training) if self.training else None,
            "provenance": None,
            "licence": dict(self.licence) if self.licence else None,
            "tags": [self._tag(tag) for tag in self.tags[:SHOWN_TAGS]],
            "metadata": {"raw": dict(self.metadata), "unparsed": unparsed(self.metadata)},
            "loaders": [{"program": found.program, "version": found.version, "loads": found.loads,
                         "modules": found.modules, "of": found.of, "notes": list(found.notes)}
                        for found in self.loaders],
        }

    def _tag(self, tag: words.Tag) -> dict[str, Any]:
        share = min(1.0, tag.images / self.images) if self.images else None
        return {"tag": tag.text, "count": tag.images, "coverage": share, "dirs": list(tag.folders)}


def _grouped(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """One entry per rule and message; the places together."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for f in findings:
        groups.setdefault((f.id, f.severity, f.message, f.hint), []).append(f.key)
    return [{"code": code, "severity": severity, "message": message, "modules": [k for k in keys if k], "fix": hint}
            for (code, severity, message, hint), keys in groups.items()]


def inspect(adapter: Adapter, layers: bool = False) -> Inspection:
    """Everything that the header and the alphas tell; ``layers``: with an entry for each layer."""
    metadata = adapter.metadata
    return Inspection(
        path=adapter.path,
        file=_file(adapter),
        identity={"sha256": None, "sha256_tensors": None, "content_id": None, "sketch": None,
                  "declared_hash_matches": None},
        base=_base(adapter),
        adapter=_adapter(adapter),
        triggers=tuple(words.triggers(metadata)),
        training=training.facts(metadata),
        licence=training.licence(metadata),
        tags=tuple(words.tags(metadata)),
        images=words.images(metadata),
        layers=tuple(map(_layer, adapter.layers.values())) if layers else None,
        findings=tuple(header_checks(adapter)),
        metadata=metadata,
        says=adapter.identification.says,
        loaders=tuple(judge_all(adapter)))


def with_weights(found: Inspection, weights: Weights) -> Inspection:
    """``found`` with what the weights say in their places."""
    encoders = {name: {**entry, **weights.encoders.get(name, {})}
                for name, entry in found.adapter["text_encoders"].items()}
    layers = tuple(_merge_layer(layer, weights.layers.get(layer["name"], {})) for layer in found.layers or ())
    return replace(found, adapter={**found.adapter, "text_encoders": encoders}, strength=weights.strength,
                   spectrum=weights.spectrum, blocks=weights.blocks, findings=found.findings + weights.findings,
                   layers=layers if found.layers is not None else None)


def _merge_layer(layer: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    flags = [*layer.get("flags", []), *more.get("flags", [])]
    return {**layer, **more, "flags": flags} if flags else {k: v for k, v in {**layer, **more}.items() if k != "flags"}


def _file(adapter: Adapter) -> dict[str, Any]:
    headers = [source.file.header for source in adapter.sources]
    infos = [info for header in headers for info in header.tensors.values()]
    stamp = datetime.fromtimestamp(adapter.file.stat.st_mtime, UTC)
    return {
        "path": adapter.path,
        "bytes": sum(header.file_size for header in headers),
        "mtime": stamp.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "format": "safetensors",
        "intact": True,
        "header_bytes": sum(header.header_bytes for header in headers),
        "tensors": len(infos),
        "parameters": sum(info.elements for info in infos),
        "dtypes": dict(Counter(info.dtype for info in infos).most_common()),
    }


def _base(adapter: Adapter) -> dict[str, Any]:
    found = adapter.identification
    conflict = base_conflict(adapter)
    evidence = [{"kind": "tensors", "says": found.says}] if found.says else []
    if adapter.declared:
        evidence.append({"kind": "metadata", "key": adapter.declared.key, "says": adapter.declared.word})
    return {
        "family": found.family,
        "variant": found.variant,
        "candidates": [{"id": c.id, "fit": c.fit, "coverage": c.coverage, "shape_conflicts": c.conflicts,
                        "missing": c.missing} for c in found.candidates],
        "lineage": _lineage(adapter),
        "confidence": found.confidence,
        "conflicts": [conflict] if conflict else [],
        "evidence": evidence,
        "unexplained": list(found.unexplained),
    }


_LINEAGES = ("pony", "illustrious", "noob", "animagine", "wai")


def _lineage(adapter: Adapter) -> dict[str, Any] | None:
    """A fine-tuned base that the trainer names; the tensors cannot tell."""
    name = text(adapter.metadata, "ss_sd_model_name")
    word = next((w for w in _LINEAGES if name and w in name.lower()), None)
    return {"name": word, "confidence": 0.8, "source": f"ss_sd_model_name: {name}"} if word else None


def _adapter(adapter: Adapter) -> dict[str, Any]:
    layers = list(adapter.layers.values())
    return {
        "algorithm": algorithm(adapter),
        "dora": any(layer.group.dora for layer in layers),
        "key_format": adapter.key_format,
        "ranks": _counted(str(s.dim or s.rank) for s in adapter.shapes.values() if not s.fault),
        "alpha": _alpha(adapter),
        "modules": _counted(component(layer) for layer in layers),
        "text_encoders": _encoders(layers),
        "declared_mismatch": [f"{key} {message}" for key, message in declared_mismatch(adapter)],
    }


def algorithm(adapter: Adapter) -> str:
    """The schema's word: one algorithm, ``mixed`` or ``unknown``; locon has a kernel or a mid."""
    found = {layer.algorithm for layer in adapter.layers.values()} - {"unknown"}
    if found - {"norm", "full"}:
        found -= {"norm", "full"}
    if len(found) != 1:
        return "mixed" if found else "unknown"
    name = found.pop()
    if name == "lora":
        spatial = any(any(size > 1 for size in s.kernel) for s in adapter.shapes.values())
        mid = any("mid" in layer.group.roles for layer in adapter.layers.values())
        return "locon" if spatial or mid else "lora"
    return name


def component(layer: Layer) -> str:
    if layer.address is not None:
        return layer.address.component
    prefix = layer.group.prefix
    return prefix.strip("._").removeprefix("lora_") if is_encoder_prefix(prefix) else DENOISER


def _alpha(adapter: Adapter) -> dict[str, Any]:
    layers = adapter.factored_layers
    sources = Counter(layer.alpha.source for layer in layers).most_common(1)
    said: dict[str, Any] = {"source": sources[0][0]} if sources else {}
    said["values"] = _counted(f"{layer.alpha.value:g}" for layer in layers)
    said["scale"] = _counted(f"{layer.scale:.6g}" for layer in layers)
    return said


def _encoders(layers: list[Layer]) -> dict[str, Any]:
    counts = Counter(component(layer) for layer in layers)
    return {name: {"modules": count, "trained": None, "energy_share": None}
            for name, count in counts.items() if name != DENOISER}


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _layer(layer: Layer) -> dict[str, Any]:
    told: dict[str, Any] = {"name": layer.stem}
    if layer.address is not None:
        told["canonical"] = str(layer.address)
    if isinstance(layer, FactoredLayer):
        told |= {"shape": list(layer.shape), "rank": layer.dim or layer.rank}
        if isfinite(layer.alpha.value):
            told["alpha"] = layer.alpha.value
    if not isinstance(layer, LoraLayer):
        told["flags"] = [layer.algorithm]
    return told
