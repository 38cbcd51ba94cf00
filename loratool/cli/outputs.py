"""From ``-o`` to the path of an output."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import UsageError
from ..tensors.policy import Policy
from .inputs import is_adapter_folder


def target(option: str | None, source: str, derived: str, fields: Mapping[str, object], policy: Policy,
           folder: bool = False) -> str:
    """``derived`` is the template of the default name, beside the input; ``folder``: of a folder.

    Raises UsageError for a template with an unknown field.
    """
    if policy.in_place:
        if option is not None:
            raise UsageError("--in-place and -o exclude one another")
        return source
    stem, ext = os.path.splitext(os.path.basename(source.rstrip("/\\")))
    if folder and os.path.isdir(source):
        stem, ext = stem + ext, ""
    known = {"stem": stem, "ext": "" if folder else ext or ".safetensors", **fields}
    name = _fill(derived, known)
    if option is None:
        return os.path.join(os.path.dirname(source.rstrip("/\\")), name)
    if folder and os.path.isdir(option) and (is_adapter_folder(option) or not os.listdir(option)):
        return option
    if os.path.isdir(option) or option.endswith(("/", os.sep)):
        return os.path.join(option, name)
    return _fill(option, known) if "{" in option else option


def _fill(template: str, fields: Mapping[str, object]) -> str:
    try:
        return template.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(f"the template {template!r} cannot be filled: {error}",
                         hint="Known fields: " + ", ".join("{" + name + "}" for name in fields)) from None
