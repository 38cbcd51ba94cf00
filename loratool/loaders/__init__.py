"""What programs make of a file: a data file a program and version, read from its source or tried with it."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from .program import Program

PROGRAMS = {
    "comfyui": "comfyui",
    "diffusers": "diffusers",
    "a1111": "a1111",
    "forge": "forge",
    "invokeai": "invokeai",
    "sd-scripts": "sd_scripts",
    "musubi-tuner": "musubi_tuner",
}


@cache
def program(program_id: str) -> Program:
    loaded: Program = import_module(f"{__name__}.{PROGRAMS[program_id]}").PROGRAM
    return loaded
