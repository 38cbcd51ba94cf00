"""Yardstick programs: ``floor.py resize IN OUT RANK``, ``floor.py concat FILE... OUT``, ``floor.py svd IN RANK``.

resize does the least that any resize must: read the bytes, make the Gram matrices of every layer with
two threads, write as many bytes as the result has. concat does the least that any merge must: read all
files, scale every up, write the factors side by side. svd is the textbook way: every layer's full product,
its dense singular value decomposition, of the first modules only (it would take an hour for a file).
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from safetensors import safe_open

SVD_MODULES = 6


def _stems(keys: list[str]) -> list[str]:
    return [key.removesuffix(".lora_up.weight") for key in keys if key.endswith(".lora_up.weight")]


def resize(source: str, target: str, rank: int) -> None:
    with safe_open(source, "numpy") as file, open(target, "wb") as out:
        stems = _stems(file.keys())

        def work(stem: str) -> bytes:
            up = file.get_tensor(f"{stem}.lora_up.weight").astype(np.float64)
            down = file.get_tensor(f"{stem}.lora_down.weight").astype(np.float64)
            up, down = up.reshape(up.shape[0], -1), down.reshape(down.shape[0], -1)
            values, vectors = np.linalg.eigh((up.T @ up) @ (down @ down.T))
            kept = min(rank, len(values))
            new_up, new_down = up @ vectors[:, -kept:], vectors[:, -kept:].T @ down
            return new_up.astype(np.float16).tobytes() + new_down.astype(np.float16).tobytes()

        with ThreadPoolExecutor(2) as pool:
            for data in pool.map(work, stems):
                out.write(data)


def concat(sources: list[str], target: str) -> None:
    files = [safe_open(source, "numpy") for source in sources]
    with open(target, "wb") as out:
        for stem in _stems(files[0].keys()):
            ups = [file.get_tensor(f"{stem}.lora_up.weight") for file in files]
            downs = [file.get_tensor(f"{stem}.lora_down.weight") for file in files]
            scaled = [(up.astype(np.float32) * np.float32(0.25)).astype(np.float16) for up in ups]
            out.write(np.concatenate(scaled, axis=1).tobytes() + np.concatenate(downs).tobytes())


def svd(source: str, rank: int) -> None:
    with safe_open(source, "numpy") as file:
        stems = _stems(file.keys())
        for stem in stems[:: max(1, len(stems) // SVD_MODULES)][:SVD_MODULES]:
            up = file.get_tensor(f"{stem}.lora_up.weight").astype(np.float32)
            down = file.get_tensor(f"{stem}.lora_down.weight").astype(np.float32)
            full = up.reshape(up.shape[0], -1) @ down.reshape(down.shape[0], -1)
            left, sigma, right = np.linalg.svd(full, full_matrices=False)
            (left[:, :rank] * sigma[:rank]).astype(np.float16), right[:rank].astype(np.float16)


if __name__ == "__main__":
    if sys.argv[1] == "resize":
        resize(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1] == "concat":
        concat(sys.argv[2:-1], sys.argv[-1])
    else:
        svd(sys.argv[2], int(sys.argv[3]))
