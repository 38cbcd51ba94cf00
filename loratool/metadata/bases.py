"""What trainers and sites call a base model, and the family that they mean.

Sources: ``modelspec.architecture`` of sd-scripts and musubi-tuner (``sai_model_spec.py``),
``ss_base_model_version`` of both, of ai-toolkit and OneTrainer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .fields import document, text


class DeclaredBase(NamedTuple):
    """What the metadata calls the base model: ``family`` or ``family/variant``."""

    id: str
    key: str
    word: str


_WORDS: tuple[tuple[str, str], ...] = (
    ("stable-diffusion-xl-v1-refiner|sdxl-refiner", "sdxl-refiner"),
    ("stable-diffusion-xl|^sdxl|^sd-xl", "sdxl"),
    ("stable-diffusion-v?3-5-l|^sd-?3-?5-?l", "sd3/3.5-large"),
    ("stable-diffusion-v?3-5-m|^sd-?3-?5-?m", "sd3/3.5-medium"),
    ("stable-diffusion-v?3-m", "sd3/medium"),
    ("stable-diffusion-v?3|^sd-?3", "sd3"),
    ("stable-diffusion-v2|^sd-?v?2", "sd2"),
    ("stable-diffusion-v1|^sd-?v?1", "sd1"),
    ("cascade|wuerstchen", "stable-cascade"),
    ("flux-?1?-schnell", "flux1/schnell"),
    ("flux-?1?-kontext", "flux1/kontext"),
    ("flux-?1?-krea", "flux1/krea"),
    ("flux-?2-klein-4b", "flux2/klein-4b"),
    ("flux-?2-klein-9b", "flux2/klein-9b"),
    ("flux-?2-dev", "flux2/dev"),
    ("flux-?2", "flux2"),
    ("flux-?3", "flux3"),
    ("flux-1-dev", "flux1/dev"),
    ("^flux", "flux1"),
    ("chroma", "chroma"),
    ("lumina", "lumina2"),
    ("z-?image", "z-image"),
    ("pixart", "pixart-sigma"),
    ("^sana", "sana"),
    ("aura-?flow", "auraflow"),
    ("hunyuan-?video-?1-5|^hv15", "hunyuan-video-1.5"),
    ("hunyuan-?image", "hunyuan-image"),
    ("hunyuan-?video", "hunyuan-video"),
    ("frame-?pack", "framepack"),
    ("^wan", "wan"),
    ("qwen-?image", "qwen-image"),
    ("hidream(?!-o1)", "hidream"),
    ("^ltx-?v?-?2", "ltx2"),
    ("^ltx", "ltx-video"),
    ("cosmos-?predict-?2", "cosmos-predict2"),
    ("anima", "anima"),
    ("krea-?2", "krea2"),
    ("ideogram-?4", "ideogram4"),
    ("minimax-?h3", "minimax-h3"),
    ("mochi", "mochi"),
    ("kandinsky-?5", "kandinsky5"),
    ("cogvideox", "cogvideox"),
    ("cogview-?4", "cogview4"),
    ("ernie-?image", "ernie-image"),
    ("ace-?step", "ace-step"),
    ("omnigen-?2", "omnigen2"),
)
"""Words, lower case, with ``-`` for every separator."""


ORIGIN = "loratool.origin"
"""Where a conversion wrote down what the file was before."""


def declared_base(metadata: Mapping[str, str]) -> DeclaredBase | None:
    """The base model in the metadata's words, where loratool knows them; of two words the one with a variant.

    What an earlier conversion knew counts where no trainer's word stands.
    """
    found = [base for key in ("modelspec.architecture", "ss_base_model_version") if (base := _declared(metadata, key))]
    if len(found) == 2 and found[1].id.startswith(found[0].id.partition("/")[0] + "/"):
        # musubi-tuner calls Kontext "Flux.1-dev" and says flux_kontext in the second place.
        return found[1]
    kept = document(metadata, ORIGIN)
    model = kept.get("model") if isinstance(kept, dict) else None
    if not found and isinstance(model, str):
        return DeclaredBase(model, ORIGIN, model)
    return found[0] if found else None


def _declared(metadata: Mapping[str, str], key: str) -> DeclaredBase | None:
    word = text(metadata, key)
    plain = re.sub(r"[^a-z0-9]+", "-", (word or "").lower())
    family = next((family for rule, family in _WORDS if re.search(rule, plain)), None)
    return DeclaredBase(family, key, word) if family and word else None
