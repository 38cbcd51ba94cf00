"""Run commands in turn and report medians: wall seconds, CPU seconds, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Figure:
    """Medians of one command's runs; ``peak`` in MB."""

    wall: float
    cpu: float
    peak: float


def once(command: list[str]) -> Figure:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return Figure(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def medians(commands: list[list[str]], runs: int) -> list[Figure]:
    """Each command ``runs`` times, in turn, so that drift of the machine meets all alike."""
    for command in commands:
        once(command)
    seen = [[once(command) for command in commands] for _ in range(runs)]
    return [Figure(*(statistics.median(getattr(row[n], what) for row in seen) for what in ("wall", "cpu", "peak")))
            for n in range(len(commands))]
