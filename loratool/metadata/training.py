"""Training facts: ``ss_*`` of sd-scripts and musubi, ``modelspec.*``, ai-toolkit, OneTrainer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from .fields import document, number, text, whole

Metadata = Mapping[str, str]


def tool(metadata: Metadata) -> str | None:
    """The program that trained the file."""
    software = document(metadata, "software")
    if isinstance(software, dict) and isinstance(software.get("name"), str):
        return str(software["name"])
    if text(metadata, "ot_branch"):
        return "OneTrainer"
    module = text(metadata, "ss_network_module") or ""
    if module.startswith(("lycoris", "locon")):
        return "LyCORIS"
    if module.startswith("networks.") or text(metadata, "ss_session_id"):
        return "sd-scripts or musubi-tuner"
    return text(metadata, "modelspec.implementation")


def _time(metadata: Metadata, key: str) -> str | None:
    seconds = number(metadata, key)
    if seconds is None or not 0 < seconds < 4e9:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_RESOLUTION = re.compile(r"\d{2,5}")


def facts(metadata: Metadata) -> dict[str, object] | None:
    """The ``training`` object of the inspect schema; None when nothing is known."""
    unique = _unique_images(metadata)
    sizes = [int(n) for n in _RESOLUTION.findall(text(metadata, "ss_resolution", "modelspec.resolution") or "")]
    found: dict[str, object] = {
        "tool": tool(metadata),
        "network_module": text(metadata, "ss_network_module"),
        "base_model_name": text(metadata, "ss_sd_model_name"),
        "base_model_hash": text(metadata, "ss_new_sd_model_hash", "ss_sd_model_hash"),
        "images": whole(metadata, "ss_num_train_images"),
        "images_unique": unique,
        "epochs": whole(metadata, "ss_epoch"),
        "steps": whole(metadata, "ss_steps"),
        "batch_size": whole(metadata, "ss_total_batch_size") or whole(metadata, "ss_batch_size_per_device"),
        "lr": _rates(metadata),
        "optimizer": text(metadata, "ss_optimizer"),
        "scheduler": text(metadata, "ss_lr_scheduler"),
        "resolution": sizes[:2] or None,
        "started_at": _time(metadata, "ss_training_started_at"),
        "finished_at": _time(metadata, "ss_training_finished_at"),
    }
    return found if any(value is not None for value in found.values()) else None


def _rates(metadata: Metadata) -> dict[str, float] | None:
    named = (("base", "ss_learning_rate"), ("unet", "ss_unet_lr"), ("text_encoder", "ss_text_encoder_lr"))
    found = {name: rate for name, key in named if (rate := number(metadata, key)) is not None}
    return found or None


def _unique_images(metadata: Metadata) -> int | None:
    folders = document(metadata, "ss_dataset_dirs")
    if not isinstance(folders, dict):
        return None
    counts = [f.get("img_count") for f in folders.values() if isinstance(f, dict)]
    known = [c for c in counts if isinstance(c, int)]
    return sum(known) if known else None


def licence(metadata: Metadata) -> dict[str, str | None] | None:
    said, author = text(metadata, "modelspec.license"), text(metadata, "modelspec.author")
    if said is None and author is None:
        return None
    return {"text": said, "author": author, "source": "modelspec"}
