"""Other names, the same update.

What is preserved: every weight that only moves or changes its name, bit for bit; the effective
update of each layer. Where a target has no alpha, alpha / rank is folded into the factors: exactly
where a power of two does it, else with one rounding, whose error is measured and stated. A name
that no table holds is refused, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

from ..adapter.adapter import Adapter
from ..adapter.cover import bits, cover, height_of, live_columns
from ..adapter.layer import Layer, twins
from ..adapter.lora import LoraLayer
from ..errors import Unmapped, Unsound, WouldLose
from ..metadata import peft
from ..naming.address import DENOISER, Address, full
from ..naming.dialect import DIALECTS, Dialect
from ..naming.families import family as load_family
from ..naming.keymap import KeyMap, keymap
from . import gate, origin, recipe, rows, stamp
from .configured import configuration, has_bias
from .fold import is_power_of_two
from .plan import Carried, OutLayer, Plan
from .respell import Respelled, Target, respell


@dataclass
class _Work:
    """What one conversion collects while it goes through the modules."""

    adapter: Adapter
    model: str
    dialect: Dialect
    keys: KeyMap
    came_from: origin.Origin | None
    layers: list[Respelled] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    rounded: bool = False
    """Whether a bias had to be scaled by more than a power of two."""
    whole: list[Layer] = field(default_factory=list)
    """Layers that are no LoRA and only changed their names."""
    empty: list[str] = field(default_factory=list)
    """Parts of joined layers that hold nothing but zeros."""

    @cached_property
    def interleaved(self) -> bool:
        """Whether the file holds projections head by head: no dialect is written so."""
        addresses = [layer.address for layer in self.adapter.layers.values() if layer.address and layer.address.rows]
        return any(self.keys.interleaved(a._replace(rows=None)) == a for a in addresses)

    @property
    def returns(self) -> bool:
        """Whether this conversion leads back to the dialect that the file came from."""
        return self.came_from is not None and self.came_from.dialect == self.dialect.id


def plan(adapter: Adapter, to: str, drop_unsupported: bool = False) -> Plan:
    """Plan a conversion to the dialect ``to``.

    Reads the weights of projections that must be split or joined, else headers only. Raises
    Unmapped for names that no table holds, WouldLose for what the target cannot hold.
    """
    gate.require_sound(adapter)
    gate.require_fit(adapter)
    model = adapter.model or _agreed(adapter, DIALECTS[to])
    if model is None:
        raise Unmapped("the base model is not known, so the names cannot be translated", path=adapter.path,
                       hint=_unknown_hint(adapter))
    came_from = origin.recall(adapter.metadata)
    work = _convert(adapter, model, to, came_from, drop_unsupported)
    if work.returns and came_from and came_from.configuration and not _fits(came_from.configuration, work):
        # The weights were changed since: their scale is folded, and a configuration is made anew.
        work = _convert(adapter, model, to, replace(came_from, configuration=None), drop_unsupported)
    return _finish(work)


def _agreed(adapter: Adapter, dialect: Dialect) -> str | None:
    """The first of several models that fit, where all of them would give each layer the same names and rows."""
    def names(model: str) -> list[object]:
        keys = keymap(model)
        hits = [keys.read(layer.group.prefix, layer.group.name) for layer in adapter.layers.values()]
        targets = [(hit, keys.targets(*hit.address.whole, dialect)) for hit in hits if hit]
        config = keys.lookalikes({peft.split_stem(name)[1] for _, found in targets for name, _ in found})
        return [len(targets), *([] if dialect.alpha == "tensor" else config),
                *((hit.address.rows, [(name, address.rows) for name, address in found]) for hit, found in targets)]

    models = adapter.identification.models
    return models[0] if models and all(names(model) == names(models[0]) for model in models[1:]) else None


def _convert(adapter: Adapter, model: str, to: str, came_from: origin.Origin | None, drop: bool) -> _Work:
    work = _Work(adapter, model, DIALECTS[to], keymap(model), came_from)
    _refuse_unmapped(work, drop)
    for (component, module), layers in adapter.modules.items():
        _convert_module(work, component, module, layers, drop)
    return work


def _fits(text: str, work: _Work) -> bool:
    """Whether an earlier configuration gives each layer the alpha that it has."""
    configs = peft.parse(text)
    for found in work.layers:
        layer = found.layer
        config = configs.get(layer.component) or configs.get("")
        said = config.alpha(layer.module, layer.rank) if config else None
        if (float(layer.rank) if said is None else said) != layer.alpha:
            return False
    return True


def _unknown_hint(adapter: Adapter) -> str:
    possible = sorted(adapter.identification.possible)
    if adapter.identification.confidence == "ambiguous":
        return f"It fits {', '.join(possible)}: say which with --family."
    return "`loratool inspect` shows what was found."


def _refuse_unmapped(work: _Work, drop: bool) -> None:
    adapter = work.adapter
    if work.dialect.id == adapter.key_format:
        # Nothing needs another name: what nobody understands stays as it is.
        work.carried += [Carried(source, key, source.qualifier + key) for source, key in adapter.loose]
        work.carried += [Carried(adapter.source_of(layer), key, adapter.source_of(layer).qualifier + key)
                         for layer in adapter.layers.values() if layer.address is None for key in layer.keys]
        return
    lost = [layer.stem for layer in adapter.layers.values() if layer.address is None]
    lost += [key for _, key in adapter.loose]
    if lost and not drop:
        title = load_family(work.keys.family.id).title
        raise Unmapped(f"{len(lost)} names are in no table of {title}, so they have no name in "
                       f"{work.dialect.id}", path=adapter.path, key=lost[0],
                       hint="Use --drop-unsupported to leave them out.")
    work.dropped += lost


def _convert_module(work: _Work, component: str, module: str, layers: Sequence[Layer], drop: bool) -> None:
    _refuse_twice(work, layers)
    try:
        targets = _targets(work, component, module, layers)
    except Unmapped:
        if not drop:
            raise
        work.dropped += [layer.stem for layer in layers]
        return
    plain = [layer for layer in layers if isinstance(layer, LoraLayer)]
    others = [layer for layer in layers if not isinstance(layer, LoraLayer)]
    row_wise = [layer for layer in others if layer.group.roles.keys() <= rows.ROW_WISE]
    for other in others:
        if other not in row_wise:
            _rename_whole(work, other, targets, drop)
    _move_rows(work, row_wise, targets, drop)
    if not plain:
        return
    out = work.keys.tree(component).modules[module].shape[0]
    gate.require_height(plain, out)
    _require_room(work, plain, targets, out)
    for name, address in targets:
        pieces = cover(plain, address.rows, out)
        if pieces:
            made = respell(_target(work, name, address, out, targets), pieces)
            work.layers.extend(made)
            work.empty += [] if made else [name]
            for respelled in made:
                _move_extras(work, respelled.layer, [piece.layer for piece in pieces], drop)


def _targets(work: _Work, component: str, module: str, layers: Sequence[Layer]) -> list[tuple[str, Address]]:
    """Names and rows of the output: as they are where the component is in the wanted dialect already."""
    own = work.adapter.dialects[component]
    there = work.dialect.id in own or (component != DENOISER and work.dialect.encoder in own)
    if len(own) == 1 and there and not work.interleaved:
        return [(layer.stem, layer.address) for layer in layers if layer.address is not None]
    spelling = work.came_from.spelling if work.returns and work.came_from else None
    return work.keys.targets(component, module, work.dialect, spelling)


def _move_rows(work: _Work, layers: Sequence[Layer], targets: Sequence[tuple[str, Address]], drop: bool) -> None:
    """Layers that are differences along the rows: whole, split or joined, bit for bit."""
    if not layers:
        return
    roles = dict.fromkeys(role for layer in layers for role in layer.group.roles)
    by_role = {role: [_strip(work, layer, role) for layer in layers if role in layer.group.roles] for role in roles}
    if work.dialect.alpha == "folded" or not all(map(rows.alike, by_role.values())):
        _leave_out(work, layers[0], f"a {layers[0].title} layer", drop)
        work.dropped += [layer.stem for layer in layers[1:]]
        return
    for name, address in targets:
        shape = work.keys.module(address).shape
        for role, strips in by_role.items():
            out = shape[0] if shape else strips[0].height
            laid = rows.lay(strips, f"{name}.{layers[0].group.suffixes.get(role, role)}", address.rows, out)
            work.carried += [laid] if laid else []


def _strip(work: _Work, layer: Layer, role: str, factor: float = 1.0) -> rows.Strip:
    return rows.Strip(work.adapter.source_of(layer), layer.group.roles[role],
                      layer.address.rows if layer.address else None, factor)


BIASES = {"kohya": "lora_up.bias", "peft": "lora_B.bias"}


def _move_extras(work: _Work, made: OutLayer, layers: Sequence[LoraLayer], drop: bool) -> None:
    """The biases of the layers that became ``made``; its scale is theirs too."""
    for role in dict.fromkeys(role for layer in layers for role in layer.extras):
        having = [layer for layer in layers if role in layer.extras]
        scale = made.alpha / made.rank
        strips = [_strip(work, layer, role, layer.scale / scale if role == "bias" and scale else 1.0)
                  for layer in having]
        held = work.dialect.style != "bare" if role == "bias" else work.dialect.alpha == "tensor"
        if not held or not rows.alike(strips):
            _leave_out(work, having[0], f"the {role} of a layer", drop)
            continue
        suffix = BIASES.get(work.dialect.style, having[0].group.suffixes[role]) if role == "bias" else role
        assert made.address is not None
        out = work.keys.module(made.address).shape[0]
        laid = rows.lay(strips, f"{made.stem}.{suffix}", made.address.rows, out)
        work.carried += [laid] if laid else []
        work.rounded |= any(not is_power_of_two(strip.factor) for strip in strips)


def _leave_out(work: _Work, layer: Layer, what: str, drop: bool) -> None:
    """Raise WouldLose, or remember that it was dropped as asked."""
    if not drop:
        raise WouldLose(f"{what} cannot be written in {work.dialect.id} names without changing it",
                        path=work.adapter.path, key=layer.stem, hint="Use --drop-unsupported to leave such parts out.")
    work.dropped.append(layer.stem)


def _require_room(work: _Work, layers: Sequence[LoraLayer], targets: Sequence[tuple[str, Address]], out: int) -> None:
    """Raise WouldLose where a layer changes rows that no name of the target holds."""
    held = np.zeros(out, bool)
    for _, address in targets:
        for begin, end in address.rows or full(out):
            held[begin:end] = True
    if held.all():
        return
    for layer in layers:
        own = (layer.address.rows if layer.address else None) or full(out)
        reached = np.concatenate([held[begin:end] for begin, end in own])
        if live_columns(bits(layer, "up")[~reached].T).any():
            raise WouldLose(f"some of its rows have no name in {work.dialect.id}", path=work.adapter.path,
                            key=layer.stem, hint="Convert to another dialect, such as comfyui.")


def _refuse_twice(work: _Work, layers: Sequence[Layer]) -> None:
    """Raise Unsound where two layers, of whatever algorithm, are the same rows of a weight."""
    for layer, twin in twins(layers):
        raise Unsound(f"is the same weight as {twin.stem}", path=work.adapter.path, key=layer.stem,
                      hint="Remove one of them: loaders differ in which they use.")


def _target(work: _Work, name: str, address: Address, out: int,
            targets: Sequence[tuple[str, Address]]) -> Target:
    parts = tuple(a.rows or ((0, out),) for _, a in targets)
    came_from = work.came_from if work.returns else None
    axes = came_from.axes.get(name) if came_from else None
    if work.dialect.style == "peft":
        axes = (len(work.keys.module(address).shape),) * 2
    return Target(name, address, height_of(address.rows, out), parts, work.dialect, axes, came_from)


def _rename_whole(work: _Work, layer: Layer, targets: Sequence[tuple[str, Address]], drop: bool) -> None:
    """A layer without algebra here moves only where nothing but its name changes."""
    exact = [name for name, address in targets if address == layer.address]
    # The prefix of sd-scripts' OFT is part of its meaning: no other name says that the norm is always capped.
    bound = layer.group.prefix.startswith("oft_unet") and exact != [layer.stem]
    kept = work.dialect.id == work.adapter.key_format
    same_form = not bound and (kept or (layer.group.style != "peft" and work.dialect.alpha == "tensor"))
    if exact and same_form:
        source = work.adapter.source_of(layer)
        work.whole.append(layer)
        for role, key in layer.group.roles.items():
            work.carried.append(Carried(source, key, f"{exact[0]}.{layer.group.suffixes[role]}"))
        return
    _leave_out(work, layer, f"a {layer.title} layer", drop)


def _finish(work: _Work) -> Plan:
    adapter, dialect = work.adapter, work.dialect
    twice = [name for name, count in Counter(r.layer.stem for r in work.layers).items() if count > 1]
    if twice:
        raise AssertionError(f"two layers became one: {twice[0]}")
    layers = [r.layer for r in work.layers]
    notes = [f"left out as asked: {name}" for name in work.dropped]
    if work.whole:
        notes.append(f"{len(work.whole)} layers are no plain LoRA ({work.whole[0].title}): their tensors are the same, "
                     "bit for bit")
    if work.empty:
        notes.append(f"{len(work.empty)} parts of joined layers are all zero and were left out: the update is the "
                     f"same ({work.empty[0]})")
    if work.rounded:
        notes.append("biases were scaled with their layers and rounded once")
    notes += _joins(work.layers)
    metadata = _metadata(work, layers)
    late = {}
    if work.dialect.id != adapter.key_format and not work.returns:
        kept = _remember(work)
        metadata[origin.KEY] = kept.text()
        late[origin.KEY] = cache(lambda: replace(kept, content=stamp.content_of_adapter(adapter)).text())
    compare = work.came_from.content if work.returns and work.came_from else None
    fixed = work.came_from.said if work.returns and work.came_from else {}
    return Plan("convert", (adapter,), adapter.model, dialect.id, dialect.folder, layers, work.carried,
                metadata, adapter.keys if dialect.id == adapter.key_format else (), notes, compare, late, fixed)


def _joins(layers: Sequence[Respelled]) -> list[str]:
    grown = [r for r in layers if r.grown]
    if not grown:
        return []
    return [f"{len(grown)} projections were joined from parts with different down factors: "
            f"their rank is the sum of the parts' ({grown[0].layer.rank} in {grown[0].layer.stem})"]


def _metadata(work: _Work, layers: Sequence[OutLayer]) -> dict[str, str]:
    metadata = dict(work.adapter.metadata)
    before = metadata.pop(peft.HEADER_KEY, None)
    metadata.pop(origin.KEY, None)
    if work.returns:
        if work.came_from and work.came_from.configuration:
            metadata[peft.HEADER_KEY] = work.came_from.configuration
        return metadata
    if work.dialect.alpha == "folded" and not work.dialect.folder and layers:
        metadata[peft.HEADER_KEY] = configuration(layers, work.model, before, has_bias(work.carried))
    return metadata


def _remember(work: _Work) -> origin.Origin:
    """The origin of the adapter, with a place for the digest of its content."""
    adapter = work.adapter
    style = Counter(layer.group.style for layer in adapter.layers.values()).most_common(1)[0][0]
    form = _alpha_form(adapter)
    made = origin.Origin(adapter.key_format, recipe.NO_DIGEST, form[0] if form else None, form[1] if form else (),
                         configuration=adapter.metadata.get(peft.HEADER_KEY), model=adapter.model,
                         spelling=_spelling(work), axes=_axes(work), style=style,
                         said={key: adapter.metadata[key] for key in stamp.FOLLOWING if key in adapter.metadata})
    return origin.with_folds(made, {r.layer.stem: r.fold for r in work.layers}) if form else made


def _spelling(work: _Work) -> str | None:
    """The spelling of the denoiser's names, where its dialect would write another."""
    dialect = DIALECTS.get(work.adapter.key_format)
    hits = [hit for hit in work.adapter.identification.hits.values() if hit.address.component == DENOISER]
    if dialect is None or all(dialect.spells(work.keys.family) in hit.spellings for hit in hits):
        return None
    return Counter(s for hit in hits for s in hit.spellings).most_common(1)[0][0]


def _axes(work: _Work) -> dict[str, tuple[int, int]]:
    """The layers whose factors have other numbers of axes than the base model's weights."""
    found = {}
    for layer in work.adapter.lora_layers:
        up, down = layer.info("up"), layer.info("down")
        if layer.address and up and down and not layer.has_mid:
            axes = len(up.shape), len(down.shape)
            usual = len(work.keys.module(layer.address).shape)
            if axes != (usual, usual):
                found[layer.stem] = axes
    return found


def _alpha_form(adapter: Adapter) -> tuple[str, tuple[int, ...]] | None:
    """Dtype and shape of the alpha tensors, the commonest ones; None when there is none."""
    forms = Counter((info.dtype, info.shape) for layer in adapter.layers.values()
                    if (info := layer.info("alpha")) is not None)
    return forms.most_common(1)[0][0] if forms else None
