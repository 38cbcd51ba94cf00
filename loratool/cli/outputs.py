"""From ``-o`` to the path of an output."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import UsageError
from ..tensors.place import Policy


def target(option: str | None, source: str, derived: str, fields: Mapping[str, object], policy: Policy) -> str:
    """``derived`` is the template of the default name, beside the input.

    Raises UsageError for a template with an unknown field.
    """
    if policy.in_place:
        if option is not None:
            raise UsageError("--in-place and -o exclude one another")
        return source
    stem, ext = os.path.splitext(os.path.basename(source.rstrip("/\\")))
    known = {"stem": stem, "ext": ext or ".safetensors", **fields}
    name = _fill(derived, known)
    if option is None:
        return os.path.join(os.path.dirname(source.rstrip("/\\")), name)
    if os.path.isdir(option) or option.endswith(("/", os.sep)):
        return os.path.join(option, name)
    return _fill(option, known) if "{" in option else option


def _fill(template: str, fields: Mapping[str, object]) -> str:
    try:
        return template.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(f"the template {template!r} cannot be filled: {error}",
                         hint="Known fields: " + ", ".join("{" + name + "}" for name in fields)) from None
