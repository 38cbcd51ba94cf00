"""Where a layer's alpha comes from: its tensor, a configuration, or nowhere (scale 1)."""

from __future__ import annotations

from ..metadata.peft import PeftConfig
from ..tensors.reader import TensorFile
from ..tensors.scalar import number
from .layer import Alpha, Group


def read_alpha(file: TensorFile, group: Group, rank: int, config: tuple[PeftConfig, str] | None) -> Alpha:
    """``config`` is the component's configuration with its source, if there is one."""
    stored = stored_alpha(file, group)
    if stored is not None:
        return Alpha(stored, "tensor")
    if config is not None:
        said = config[0].alpha(group.name, rank)
        if said is not None:
            return Alpha(float(said), config[1])
    return Alpha(float(rank), "default")


def stored_alpha(file: TensorFile, group: Group) -> float | None:
    """The value of the alpha tensor; None when there is none or it is no single number."""
    key = group.roles.get("alpha")
    if key is None:
        return None
    info = file.tensors[key]
    return number(file.raw(key), info.dtype) if info.elements == 1 else None
