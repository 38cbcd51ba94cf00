"""``python -m tests.benchmarks [--quick] [--runs N]``: ratios, CPU seconds, peak memory.

Quick: small files, one run each; it shows that everything runs, its figures mean little.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from .measure import Figure, medians

LORATOOL = [sys.executable, "-m", "loratool"]
FLOOR = [sys.executable, str(Path(__file__).with_name("floor.py"))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    arguments = parser.parse_args()
    runs = arguments.runs or (1 if arguments.quick else 3)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        _table(Path(folder), "sd1" if arguments.quick else "sdxl", (32, 8) if arguments.quick else (128, 16), runs)


def _table(place: Path, family: str, ranks: tuple[int, int], runs: int) -> None:
    high, low = ranks
    big, a, b = place / "big.safetensors", place / "a.safetensors", place / "b.safetensors"
    more = [place / f"{name}.safetensors" for name in "cde"]
    small, conv = place / "small.safetensors", place / "conv.safetensors"
    files = ((big, family, high, ""), (a, family, 32, ""), (b, family, 32, ""), (small, "sd1", 2, ""),
             (conv, "sd1", high // 2, "conv"), *((path, family, 32, "") for path in more))
    for seed, (path, of, rank, kind) in enumerate(files):
        # In a process of its own: the peak memory of a child counts from that of its parent.
        command = [sys.executable, "-m", "tests.benchmarks.files", str(path), of, str(rank), str(seed)]
        subprocess.run(command + [kind] * bool(kind), check=True)
    out = [str(place / f"out{n}.safetensors") for n in range(2)]
    over = ["--overwrite", "--format", "plain", "-o", out[0]]
    print(f"{'work':42} {'wall s':>7} {'CPU s':>7} {'MB':>6}   yardstick")
    _row(f"resize {family} rank {high} to {low}", [*LORATOOL, "resize", str(big), "--rank", str(low), *over],
         "the floor program", [*FLOOR, "resize", str(big), out[1], str(low)], runs)
    _row("  the same", [*LORATOOL, "resize", str(big), "--rank", str(low), *over],
         "full SVD of 6 modules", [*FLOOR, "svd", str(big), str(low)], 1)
    _row(f"resize sd1 LoCon rank {high // 2} to {low}", [*LORATOOL, "resize", str(conv), "--rank", str(low), *over],
         "the floor program", [*FLOOR, "resize", str(conv), out[1], str(low)], runs)
    _row(f"merge 2 x {family} rank 32, exact", [*LORATOOL, "merge", str(a), str(b), "--weights", "0.6,0.4", *over],
         "the floor program", [*FLOOR, "concat", str(a), str(b), out[1]], runs)
    _row(f"merge 5 x {family} rank 32, exact", [*LORATOOL, "merge", *map(str, (a, b, *more)), *over],
         "the floor program", [*FLOOR, "concat", *map(str, (a, b, *more)), out[1]], runs)
    _row(f"merge 2 x {family} rank 32 to 32", [*LORATOOL, "merge", str(a), str(b), "--rank", "32", *over],
         "full SVD of 6 modules", [*FLOOR, "svd", str(a), "32"], 1)
    _row(f"convert {family} rank 32 to comfyui", [*LORATOOL, "convert", str(a), "--to", "comfyui", *over],
         "cp", ["cp", str(a), out[1]], runs)
    _row(f"convert {family} rank 32 to diffusers", [*LORATOOL, "convert", str(a), "--to", "diffusers", *over],
         "cp", ["cp", str(a), out[1]], runs)
    click = [sys.executable, "-c", "import click"]
    _row(f"inspect {family}, plain", [*LORATOOL, "inspect", str(a), "--format", "plain"], "import click", click, runs)
    _row(f"inspect {family}, screen", [*LORATOOL, "inspect", str(a)], "import click", click, runs)
    _row(f"inspect --weights {family} rank 32", [*LORATOOL, "inspect", str(a), "--weights", "--format", "plain"],
         "cp", ["cp", str(a), out[1]], runs)
    _row(f"validate {family} rank {high}", [*LORATOOL, "validate", str(big), "--format", "plain"],
         "cp", ["cp", str(big), out[1]], runs)
    if find_spec("torch"):
        _row("resize of a small file", [*LORATOOL, "resize", str(small), "--rank", "1", *over],
             "import torch", [sys.executable, "-c", "import torch"], runs)


def _row(what: str, command: list[str], yardstick: str, other: list[str], runs: int) -> None:
    ours, theirs = medians([command, other], runs)
    print(f"{what:42} {ours.wall:7.2f} {ours.cpu:7.2f} {ours.peak:6.0f}   {_ratio(ours, theirs)} {yardstick}")


def _ratio(ours: Figure, theirs: Figure) -> str:
    return f"{ours.wall / theirs.wall:.2f} x wall, {ours.cpu / max(theirs.cpu, 1e-3):.2f} x CPU of"


if __name__ == "__main__":
    main()
