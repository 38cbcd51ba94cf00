"""The tables of docs/resizing.md and docs/merging.md, from runs on full-size synthetic files.

``python docs/measure.py`` prints them in Markdown. The files have the names and shapes of an SDXL
LoRA, power-law spectra with exponents from 0.5 to 1.2 and F16 weights; it takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from loratool.adapter.adapter import Adapter
from loratool.ops import merge, resize, run
from loratool.ops.rules import Budget, FixedRank, PerLayer, RankRule
from loratool.tensors.policy import Policy

RANK, TARGET, THREADS = 32, 8, 2


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as place:
        paths = [str(Path(place) / name) for name in ("a.safetensors", "b.safetensors")]
        for seed, path in enumerate(paths):
            command = [sys.executable, "-m", "tests.benchmarks.files", path, "sdxl", str(RANK), str(seed + 1)]
            subprocess.run(command, check=True)
        out = str(Path(place) / "out.safetensors")
        _resizing(paths[0], out)
        _merging(paths, out)


def _resizing(path: str, out: str) -> None:
    with Adapter.open(path) as adapter:
        spectra = resize.spectra(adapter.lora_layers, THREADS)
        size = run.size_of(resize.plan(adapter, FixedRank(TARGET)))
        whole = sum(s.energy for s in spectra) ** 0.5

        def bytes_of(rule: RankRule) -> int:
            return run.size_of(resize.plan_from(adapter, rule, spectra))

        rules: list[tuple[str, RankRule]] = [(f"--rank {TARGET}", FixedRank(TARGET)),
                                             (f"--budget-rank {TARGET}", Budget("rank", TARGET)),
                                             (f"--size {size}", Budget("size", size))]
        for kind, low, high in (("energy", 0.01, 1.0), ("sv-fro", 0.01, 1.0), ("sv-cumulative", 0.01, 1.0)):
            value = _bisect(lambda v, k=kind: bytes_of(PerLayer(k, v)), size, low, high)
            rules.append((f"--{kind} {value:.4f}", PerLayer(kind, value)))
        value = _bisect(lambda v: bytes_of(PerLayer("sv-ratio", v)), size, 1.0, 1000.0)
        rules.append((f"--sv-ratio {value:.2f}", PerLayer("sv-ratio", value)))
        print(f"| rule, at the bytes of rank {TARGET} | bytes | ranks | error written | least error of these ranks |")
        print("|---|---|---|---|---|")
        for name, rule in rules:
            done = run.execute(resize.plan(adapter, rule, threads=THREADS), out, Policy(overwrite=True), THREADS)
            ranks = [m.rank for m in done.modules]
            print(f"| `{name}` | {done.bytes} | {min(ranks)}-{max(ranks)} | {done.error:.4%} | {done.optimum:.4%} |")
        print(f"\n({len(spectra)} layers of rank {RANK}, norm {whole:.3f})\n")


def _bisect(size_of: Callable[[float], int], size: int, low: float, high: float) -> float:
    """The largest value whose file is at most ``size``; sizes grow with the value."""
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if size_of(middle) <= size else (low, middle)
    return low


def _merging(paths: list[str], out: str) -> None:
    adapters = [Adapter.open(path) for path in paths]
    print("| merge of two rank 32 files at 0.6, 0.4 | bytes | ranks | error written | least error of these ranks |")
    print("|---|---|---|---|---|")
    rules: list[tuple[str, RankRule | None]] = [
        ("(exact)", None), ("--rank 32", FixedRank(32)), ("--budget-rank 32", Budget("rank", 32)),
        ("--error 5%", Budget("error", 0.05)), ("--energy 99%", PerLayer("energy", 0.99))]
    for name, rule in rules:
        planned = merge.plan(adapters, [0.6, 0.4], rule, threads=THREADS)
        done = run.execute(planned, out, Policy(overwrite=True), THREADS)
        ranks = [m.rank for m in done.modules]
        print(f"| `{name}` | {done.bytes} | {min(ranks)}-{max(ranks)} | {done.error:.4%} | {done.optimum:.4%} |")
    print(f"| factors added instead of updates | | {RANK} | {_added_factors(adapters):.1%} | |")
    for adapter in adapters:
        adapter.close()


def _added_factors(adapters: list[Adapter]) -> float:
    """What comes out when up and down are added factor by factor: the error of the classic merge scripts."""
    wrong = true = 0.0
    for one, two in zip(adapters[0].lora_layers[::20], adapters[1].lora_layers[::20], strict=True):
        right = 0.6 * one.delta() + 0.4 * two.delta()
        mixed = one.scale * (0.6 * one.up() + 0.4 * two.up()) @ (0.6 * one.down() + 0.4 * two.down())
        wrong += float(((mixed - right) ** 2).sum())
        true += float((right ** 2).sum())
    return (wrong / true) ** 0.5


if __name__ == "__main__":
    main()
