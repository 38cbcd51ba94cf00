"""The metadata of an output: what is kept, what follows the tensors, what is added.

``ss_*`` and everything not understood is kept. ``ss_network_dim`` and ``ss_network_alpha`` follow
the ranks; ``sshs_model_hash`` and ``sshs_legacy_hash`` (sd-scripts ``precalculate_safetensors_hashes``:
hashes of the file as the official writer would make it with the ``ss_*`` metadata alone) follow the
bytes. A ``modelspec.hash_sha256`` is written again over the tensors in sorted order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import __version__
from ..adapter.adapter import Adapter
from ..tensors.digest import LEGACY_END, LEGACY_START
from ..tensors.writer import TensorSpec, Written, header_text, official_order
from .plan import OutLayer

MODEL_HASH, LEGACY_HASH, SPEC_HASH = "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256"
FOLLOWING = ("ss_network_dim", "ss_network_alpha", "ss_network_args")
"""What ``follow`` adapts to the layers."""
ERROR, BOUND, RECIPE = "loratool.error", "loratool.bound", "loratool.recipe"


def follow(metadata: Mapping[str, str], layers: Sequence[OutLayer],
           recipe: Mapping[str, Any] | None) -> dict[str, str]:
    """``metadata`` with ranks and alphas of the new layers, and places for hashes and error."""
    new = dict(metadata)
    layers = [layer for layer in layers if layer.algorithm == "lora"]
    linear = [layer for layer in layers if not layer.spatial] or list(layers)
    if "ss_network_dim" in new and layers:
        _set(new, "ss_network_dim", _common(_ranks(linear)), "{:.0f}")
    if "ss_network_alpha" in new and layers:
        _set(new, "ss_network_alpha", _common(_alphas(linear)), "{}")
    _follow_conv(new, [layer for layer in layers if layer.spatial])
    for key in (MODEL_HASH, LEGACY_HASH):
        new.pop(key, None)
    if any(key.startswith("ss_") for key in new):
        new[MODEL_HASH], new[LEGACY_HASH] = "0" * 64, "0" * 8
    if SPEC_HASH in new:
        new[SPEC_HASH] = "0x" + "0" * 64
    if recipe is not None:
        new["loratool.version"] = __version__
        new[RECIPE] = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
        new |= certificate(0.0, 0.0)
    return new


def certificate(error: float, bound: float) -> dict[str, str]:
    """The measured error and the least possible one, in a form whose length does not vary."""
    return {ERROR: f"{_plain(error):.6e}", BOUND: f"{_plain(bound):.6e}"}


def _plain(value: float) -> float:
    """An exponent of two digits: an error below 1e-99 is none."""
    if not 0.0 <= value < 1e99:
        raise AssertionError(f"{value} is no relative error")
    return value if value >= 1e-99 else 0.0


def _free(layers: Iterable[OutLayer]) -> list[OutLayer]:
    """Layers whose rank is a choice, not the limit of a small module."""
    chosen = list(layers)
    return [layer for layer in chosen if layer.rank < layer.limit] or chosen


def _ranks(layers: Sequence[OutLayer]) -> list[float]:
    return [float(layer.rank) for layer in _free(layers)]


def _alphas(layers: Sequence[OutLayer]) -> list[float]:
    return [layer.alpha for layer in _free(layers)]


def _common(values: list[float]) -> float | None:
    return values[0] if len(set(values)) == 1 else None


def _set(metadata: dict[str, str], key: str, value: float | None, form: str) -> None:
    if value is None:
        metadata[key] = "Dynamic"
        return
    try:
        if float(metadata[key]) == value:
            return
    except ValueError:
        pass
    metadata[key] = form.format(value)


def as_lora(metadata: Mapping[str, str]) -> dict[str, str]:
    """``metadata`` of a file whose layers are all LoRA now, whatever algorithm LyCORIS was told to train."""
    arguments = _arguments(metadata)
    if arguments.get("algo") not in ("loha", "lokr"):
        return dict(metadata)
    return dict(metadata) | {"ss_network_args": json.dumps(arguments | {"algo": "lora"})}


def _arguments(metadata: Mapping[str, str]) -> dict[str, Any]:
    """``ss_network_args``; empty where it is no JSON object."""
    try:
        found = json.loads(metadata.get("ss_network_args", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _follow_conv(metadata: dict[str, str], layers: list[OutLayer]) -> None:
    arguments = _arguments(metadata)
    if not layers or "conv_dim" not in arguments:
        return
    texts = {k: str(v) for k, v in arguments.items()}
    _set(texts, "conv_dim", _common(_ranks(layers)), "{:.0f}")
    if "conv_alpha" in texts:
        _set(texts, "conv_alpha", _common(_alphas(layers)), "{}")
    changed = {k: texts[k] for k in ("conv_dim", "conv_alpha") if k in texts and texts[k] != str(arguments[k])}
    if changed:
        metadata["ss_network_args"] = json.dumps(arguments | changed)


def hashes(metadata: Mapping[str, str], specs: Sequence[TensorSpec], written: Written) -> dict[str, str]:
    """The values for the places that ``follow`` made."""
    found: dict[str, str] = {}
    official = official_order(specs)
    if MODEL_HASH in metadata:
        same = [s.name for s in official] == [s.name for s in specs]
        found[MODEL_HASH] = written.sha256_tensors if same else _digest(official, specs, written)
        found[LEGACY_HASH] = _legacy(official, specs, metadata, written)
    if SPEC_HASH in metadata:
        found[SPEC_HASH] = "0x" + _digest(sorted(specs, key=lambda s: s.name), specs, written)
    return found


def content(tensors: Iterable[tuple[TensorSpec, Iterable[bytes]]]) -> str:
    """A digest of names, dtypes, shapes and bytes; ``tensors`` come sorted by name, so order is no part of it."""
    whole = hashlib.sha256()
    for spec, blocks in tensors:
        whole.update(json.dumps([spec.name, spec.dtype, list(spec.shape)]).encode())
        for block in blocks:
            whole.update(block)
    return whole.hexdigest()


def content_of_written(specs: Sequence[TensorSpec], written: Written) -> str:
    places = _places(specs)
    return content((spec, _blocks(places[spec.name], written)) for spec in sorted(specs, key=lambda s: s.name))


def content_of_adapter(adapter: Adapter) -> str:
    """The same digest of an adapter's files, keys qualified by their component."""
    named = sorted((source.qualifier + key, number, key) for number, source in enumerate(adapter.sources)
                   for key in source.file.tensors)

    def tensor(name: str, number: int, key: str) -> tuple[TensorSpec, Iterable[bytes]]:
        file = adapter.sources[number].file
        return TensorSpec(name, file.tensors[key].dtype, file.tensors[key].shape), (file.raw(key),)

    return content(tensor(*entry) for entry in named)


def _places(specs: Sequence[TensorSpec]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    position = 0
    for spec in specs:
        places[spec.name] = (position, position + spec.nbytes)
        position += spec.nbytes
    return places


def _blocks(place: tuple[int, int], written: Written) -> Iterable[bytes]:
    begin, end = place
    while begin < end:
        stop = min(end, begin + (1 << 20))
        yield written.window(begin, stop)
        begin = stop


def _digest(order: Sequence[TensorSpec], specs: Sequence[TensorSpec], written: Written) -> str:
    whole, places = hashlib.sha256(), _places(specs)
    for spec in order:
        for block in _blocks(places[spec.name], written):
            whole.update(block)
    return whole.hexdigest()


def _legacy(official: Sequence[TensorSpec], specs: Sequence[TensorSpec], metadata: Mapping[str, str],
            written: Written) -> str:
    """First 8 digits of the sha256 of bytes 0x100000 to 0x110000 of the file the official writer makes."""
    header = header_text(official, {k: v for k, v in metadata.items() if k.startswith("ss_")})
    head = len(header).to_bytes(8, "little") + header
    places, position = _places(specs), len(head)
    parts = [head[LEGACY_START:LEGACY_END]]
    for spec in official:
        begin, end = max(position, LEGACY_START), min(position + spec.nbytes, LEGACY_END)
        if begin < end:
            start = places[spec.name][0]
            parts.append(written.window(start + begin - position, start + end - position))
        position += spec.nbytes
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]
