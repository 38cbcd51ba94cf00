"""Settings: flags, then LORATOOL_* environment variables, then config.toml, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import UsageError

COLORS = ("auto", "always", "never")
FORMATS = ("human", "plain", "json", "jsonl")


@dataclass(frozen=True)
class Settings:
    """What holds for the whole run. ``threads`` 0: as many as the machine lets this process use."""

    format: str = "human"
    color: str = "auto"
    threads: int = 0
    debug: bool = False

    @property
    def workers(self) -> int:
        return self.threads or usable_cores()


def usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def config_path(environment: Mapping[str, str]) -> str:
    """config.toml in LORATOOL_HOME, or in the platform's folder for settings."""
    home = environment.get("LORATOOL_HOME")
    if home is None:
        from platformdirs import user_config_dir

        home = user_config_dir("loratool", appauthor=False)
    return os.path.join(home, "config.toml")


def load(environment: Mapping[str, str], **flags: Any) -> Settings:
    """The settings of this run; a flag that is None was not given.

    Raises UsageError for a value that is not allowed, naming where it came from.
    """
    path = config_path(environment)
    stored = _stored(path)
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = "LORATOOL_" + field.name.upper()
        if flags.get(field.name) is not None:
            values[field.name] = flags[field.name]
        elif variable in environment:
            values[field.name] = _parse(field.name, environment[variable], variable)
        elif field.name in stored:
            values[field.name] = _parse(field.name, stored[field.name], path)
    return Settings(**values)


def _stored(path: str) -> dict[str, Any]:
    if not os.path.exists(path):
        return {}
    import tomllib

    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the settings cannot be read: {error}", path=path) from error
    unknown = found.keys() - {field.name for field in fields(Settings)}
    if unknown:
        raise UsageError(f"unknown setting {sorted(unknown)[0]!r}", path=path,
                         hint="Known are " + ", ".join(field.name for field in fields(Settings)) + ".")
    return found


def _parse(name: str, value: Any, origin: str) -> Any:
    text = str(value).lower()
    if name == "threads" and text.isdigit():
        return int(text)
    if name == "debug" and text in ("0", "1", "true", "false"):
        return text in ("1", "true")
    choices = {"color": COLORS, "format": FORMATS}.get(name, ())
    if text in choices:
        return text
    raise UsageError(f"{origin}: {name} cannot be {str(value)!r}",
                     hint="Allowed: " + (", ".join(choices) or "a whole number" if name != "debug" else "0 or 1"))
