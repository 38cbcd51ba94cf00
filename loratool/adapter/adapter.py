"""An adapter as a whole: its layers by address, its metadata, the spelling it came in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from types import TracebackType

from ..errors import InputError, LoratoolError, NotAFile
from ..metadata import peft
from ..metadata.bases import DeclaredBase, declared_base
from ..naming.address import DENOISER
from ..naming.detect import Identification, Spelled, identify
from ..naming.dialect import dialects_of, encoder_dialect_of, is_encoder_prefix
from ..naming.families import family as load_family
from ..naming.keymap import Hit, keymap
from ..tensors.digest import digest
from ..tensors.reader import TensorFile
from .alpha import read_alpha
from .factored import FactoredLayer, Shapes
from .layer import CarriedLayer, Group, Layer, group_keys
from .lora import LoraLayer
from .shapes import FACTORED, update_shape

COMPONENT_FOLDERS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4",
                     "text_conditioner")
"""The folders inside an adapter folder that are read, and the only ones that are written."""


@dataclass(frozen=True)
class Source:
    """One file of an adapter. ``qualifier`` names its component where the keys do not (PEFT)."""

    file: TensorFile
    qualifier: str = ""
    configs: dict[str, peft.PeftConfig] = field(default_factory=dict)
    config_source: str = "metadata"
    config_text: str | None = None
    """The text of adapter_config.json, where there is one."""
    config_fault: str | None = None
    """Why the configuration cannot be understood."""

    def config_for(self, group: Group) -> tuple[peft.PeftConfig, str] | None:
        component = group.component
        found = self.configs.get(component) or self.configs.get("")
        return (found, self.config_source) if found else None


@dataclass(frozen=True)
class Adapter:
    """Layers by stem, in the order of the file. Immutable; operations make new files."""

    path: str
    sources: tuple[Source, ...]
    layers: dict[str, Layer]
    loose: tuple[tuple[Source, str], ...]
    """Keys whose suffix nobody knows."""
    shapes: dict[str, Shapes]
    """Stem -> what a layer's factors imply, of the algorithms that have some; a fault where they imply nothing."""
    identification: Identification
    alias: str | None = None
    """The name that a recipe gives this input, where the file has another one now."""

    @classmethod
    def open(cls, path: str, family: str | None = None) -> Adapter:
        """Open a safetensors file, or a folder as PEFT writes it. Reads headers and alphas only.

        ``family`` decides where the tensors fit several. Raises what TensorFile raises; NotAFile
        for a folder that holds no adapter.
        """
        sources = tuple(_sources(path))
        try:
            return _assemble(path, sources, family)
        except LoratoolError as error:
            for source in sources:
                source.file.close()
            error.at(path)
            raise

    def resolved(self, model: str) -> Adapter:
        """The same files, read as of ``model``, for an adapter that fits several."""
        if self.model == model:
            return self
        return replace(_assemble(self.path, self.sources, model), alias=self.alias)

    @property
    def name(self) -> str:
        """The base name, never the folder."""
        return self.alias or self.path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]

    @property
    def file(self) -> TensorFile:
        return self.sources[0].file

    @property
    def metadata(self) -> dict[str, str]:
        return self.file.metadata

    @property
    def is_folder(self) -> bool:
        return self.path != self.file.path

    @property
    def family(self) -> str | None:
        return self.identification.family

    @property
    def model(self) -> str | None:
        """``family/variant``, whose names translate this adapter."""
        return self.identification.model

    @cached_property
    def declared(self) -> DeclaredBase | None:
        return declared_base(self.metadata)

    @cached_property
    def lora_layers(self) -> list[LoraLayer]:
        return [layer for layer in self.layers.values() if isinstance(layer, LoraLayer)]

    @cached_property
    def factored_layers(self) -> list[FactoredLayer]:
        """The layers that operations on factors take: LoRA, LoHa, LoKr."""
        return [layer for layer in self.layers.values() if isinstance(layer, FactoredLayer)]

    @property
    def carried(self) -> list[CarriedLayer]:
        return [layer for layer in self.layers.values() if isinstance(layer, CarriedLayer)]

    @cached_property
    def modules(self) -> dict[tuple[str, str], list[Layer]]:
        """Component and module -> the layers that hold it or some of its rows; unmapped names left out."""
        found: dict[tuple[str, str], list[Layer]] = {}
        for layer in self.layers.values():
            if layer.address is not None:
                found.setdefault(layer.address.whole, []).append(layer)
        return found

    @property
    def keys(self) -> list[str]:
        """All keys, qualified by their component, in the order of the file."""
        return [source.qualifier + info.name for source in self.sources
                for info in source.file.header.in_file_order()]

    def source_of(self, layer: Layer) -> Source:
        return next(source for source in self.sources if source.file is layer.file)

    @cached_property
    def dialects(self) -> dict[str, Counter[str]]:
        """Component -> how many of its modules are written in which dialect."""
        found: dict[str, Counter[str]] = {}
        vague: Counter[tuple[str, str]] = Counter()
        known = [load_family(f) for f in ([self.family] if self.family else sorted(self.identification.possible))]
        for layer in self.layers.values():
            group, hit = layer.group, self.identification.hits.get(layer.stem)
            component = hit.address.component if hit else _component_of(group.prefix)
            if component != DENOISER:
                name = encoder_dialect_of(group.prefix)
            else:
                names = dialects_of(group.prefix, hit.spellings if hit else (), group.style, known if hit else ())
                name = names[0] if names else "unknown"
                if len(names) > 1:
                    vague[component, name] += 1
                    continue
            found.setdefault(component, Counter())[name] += 1
        for (component, name), count in vague.items():
            # A module whose names in two spellings are equal is no evidence where others are.
            found.setdefault(component, Counter({name: 0}))
            found[component][found[component].most_common(1)[0][0]] += count
        return found

    @cached_property
    def sha256(self) -> str:
        """Of the file; of a folder, the digest of its files' digests and configurations."""
        if not self.is_folder:
            return digest(self.file).sha256
        import hashlib

        parts = [f"{s.qualifier}:{digest(s.file).sha256}:{s.config_text or ''}" for s in self.sources]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def key_format(self) -> str:
        """A dialect's id, ``mixed`` (inside one component) or ``unknown``."""
        if any(len(counts) > 1 for counts in self.dialects.values()):
            return "mixed"
        for component in (DENOISER, *self.dialects):
            if component in self.dialects:
                return self.dialects[component].most_common(1)[0][0]
        return "unknown"

    def close(self) -> None:
        for source in self.sources:
            source.file.close()

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _component_of(prefix: str) -> str:
    return prefix.rstrip("._") if is_encoder_prefix(prefix) else DENOISER


def _sources(path: str) -> Iterator[Source]:
    if not os.path.isdir(path):
        file = TensorFile(path)
        text = file.metadata.get(peft.HEADER_KEY)
        if text is not None:
            yield Source(file, "", peft.parse(text), config_fault=peft.fault(text))
        else:
            yield _with_config(file, "")
        return
    model = os.path.join(path, peft.MODEL_NAME)
    inside = [name for name in COMPONENT_FOLDERS if os.path.isfile(os.path.join(path, name, peft.MODEL_NAME))]
    if not os.path.isfile(model) and not inside:
        raise NotAFile("is a folder", path=path, hint="Use -r to take the files in it.")
    if os.path.isfile(model):
        yield _with_config(TensorFile(model), "")
    for name in inside:
        yield _with_config(TensorFile(os.path.join(path, name, peft.MODEL_NAME)), name + ".")


def _with_config(file: TensorFile, qualifier: str) -> Source:
    text = _config_beside(file.path)
    if text is None:
        return Source(file, qualifier, config_source="adapter_config")
    return Source(file, qualifier, peft.parse(text), "adapter_config", text, peft.fault(text))


def _config_beside(path: str) -> str | None:
    """PEFT's configuration in the same folder, if the file has PEFT's own name."""
    beside = os.path.join(os.path.dirname(path), peft.CONFIG_NAME)
    if os.path.basename(path) != peft.MODEL_NAME or not os.path.isfile(beside):
        return None
    try:
        with open(beside, encoding="utf-8") as text:
            return text.read(1 << 24)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", path=beside) from error


def _assemble(path: str, sources: tuple[Source, ...], family: str | None) -> Adapter:
    grouped: list[tuple[Source, Group]] = []
    loose: list[tuple[Source, str]] = []
    for source in sources:
        groups, unknown = group_keys(source.file, source.qualifier)
        grouped += [(source, group) for group in groups.values()]
        loose += [(source, key) for key in unknown]
    shapes: dict[str, Shapes] = {}
    spelled: list[Spelled] = []
    for source, group in grouped:
        roles = {role: source.file.tensors[key].shape for role, key in group.roles.items()}
        if group.algorithm in FACTORED:
            found = shapes[group.stem] = FACTORED[group.algorithm].read_shapes(roles)
            update = found.update
        else:
            update = update_shape(group.algorithms, roles)
        spelled.append(Spelled(group.stem, group.prefix, group.name, update))
    declared = declared_base(sources[0].file.metadata)
    identification = identify(spelled, family or (declared.id if declared else None))
    layers = {group.stem: _layer(source, group, shapes.get(group.stem), _hit(group, identification))
              for source, group in grouped}
    return Adapter(path, sources, layers, tuple(loose), shapes, identification)


def _hit(group: Group, identification: Identification) -> Hit | None:
    """What the names mean. DiffSynth's files are told by PEFT's adapter name in their suffixes."""
    hit = identification.hits.get(group.stem)
    if hit is None or group.adapter_name != "default":
        return hit
    return hit._replace(address=keymap(identification.models[0]).interleaved(hit.address))


def _layer(source: Source, group: Group, shapes: Shapes | None, hit: Hit | None) -> Layer:
    address = hit.address if hit else None
    of = FACTORED.get(group.algorithm)
    if of is None or shapes is None or shapes.fault or group.twice or not (
            group.roles.keys() <= {*of.FACTORS, *of.EXTRAS, "alpha"}):
        return CarriedLayer(group.stem, group.algorithm, source.file, group, address)
    config = source.config_for(group)
    dim = shapes.dim or _configured_rank(group, config)
    kernel = shapes.kernel or (_kernel(hit, shapes) if of.FLAT else ())
    return of(group.stem, group.algorithm, source.file, group, address, shapes.out, shapes.inner, shapes.rank,
              kernel, dim, read_alpha(source.file, group, dim or 1, config))


def _configured_rank(group: Group, config: tuple[peft.PeftConfig, str] | None) -> int:
    """What alpha is divided by where the tensors have no rank of their own: two whole parts of a LoKr."""
    return config[0].rank(group.name) or 0 if config and "alpha" not in group.roles else 0


def _kernel(hit: Hit | None, shapes: Shapes) -> tuple[int, ...]:
    """The base model's kernel for factors that are stored flat."""
    fits = hit is not None and prod(hit.shape[1:]) == shapes.inner
    return hit.shape[2:] if hit and fits else ()
