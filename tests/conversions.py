"""The table of docs/formats.md, from a run: ``python -m tests.conversions`` (about five minutes on two cores).

Every key set of LoRA layers, filled with seeded numbers in float16 at rank 2, is identified, cut into parts that are
identified, converted to every target and back. A family without a key set is made from its own table, in kohya names.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.numpy import save_file

from loratool.adapter.adapter import Adapter
from loratool.errors import Unmapped, WouldLose
from loratool.naming.address import DENOISER
from loratool.naming.detect import identify
from loratool.naming.dialect import DIALECTS, TARGETS
from loratool.naming.families import FAMILIES, family
from loratool.naming.keymap import keymap
from loratool.ops import convert, run
from loratool.tensors.policy import Policy
from tests.keysets import family_of, fill, keys_of, with_rank
from tests.models import MODELS, UNETS, WITHOUT_CLASS
from tests.naming.test_detect import CUTS, LORAS, spelled
from tests.naming.test_families import CONVERTED, LORA_CONVERTERS

DOCS = Path(__file__).parents[1] / "docs" / "formats.md"
MARKS = "<!-- conversions -->\n", "<!-- end -->"
WITH_MORE = ("wan21-t2v-14b_comfy_lora_diff", "sd15_lycoris_locon_trainnorm")
"""Sets that hold differences of biases and norms beside LoRA layers."""


def made(family_id: str) -> dict[str, list[int]]:
    """Every module of a family's denoiser in kohya names, rank 2."""
    keys, found = keymap(family_id), {}
    for module in keys.trees[DENOISER].modules:
        for stem, address in keys.targets(DENOISER, module, DIALECTS["kohya"]):
            out, *inner = keys.shape(address)
            found |= {f"{stem}.lora_up.weight": [out, 2, *(1 for _ in inner[1:])],
                      f"{stem}.lora_down.weight": [2, *inner], f"{stem}.alpha": []}
    return found


def files() -> dict[str, dict[str, dict[str, list[int]]]]:
    """Family -> name of a set -> its keys."""
    found: dict[str, dict[str, dict[str, list[int]]]] = defaultdict(dict)
    for name in (*LORAS, *WITH_MORE):
        found[family_of(name)][name] = with_rank(keys_of(name), 2)
    return {name: found.get(name) or {"made": made(name)} for name in FAMILIES}


def recognised(family_id: str, keys: dict[str, list[int]]) -> tuple[int, int]:
    """How many of the file and its parts leave the truth possible and state nothing else; of how many."""
    modules = spelled(keys)
    parts = [modules, modules[::10], *([m for m in modules if keep(m)] for cuts in CUTS.values() for keep in cuts)]
    answers = [identify(part) for part in parts if part]
    right = [a for a in answers if family_id in a.possible and a.family in (None, family_id)]
    return len(right), len(answers)


def there_and_back(family_id: str, source: Path, folder: Path, to: str) -> str:
    """``=`` identical on the way back, ``x`` exact but not identical or without a way back, ``~`` one rounding."""
    there, back = (folder / (name if to == "peft" or name != "there" else f"{name}.safetensors")
                   for name in ("there", "back.safetensors"))
    try:
        with Adapter.open(str(source), family_id) as adapter:
            before = adapter.key_format
            result = run.execute(convert.plan(adapter, to), str(there), Policy(overwrite=True), 2)
        if before not in TARGETS or before == to:
            return "=" if before == to and result.exact else "x" if result.exact else "~"
        with Adapter.open(str(there), family_id) as adapter:
            again = run.execute(convert.plan(adapter, before), str(back), Policy(overwrite=True), 2)
    except Unmapped as error:
        return "no names" if to == "xlabs" else "encoders" if "one name" in error.message else error.message
    except WouldLose as error:
        return "no place" if "cannot be written" in error.message else "rows"
    return "=" if again.identical else "x" if result.exact else "~"


def oracle(family_id: str) -> str:
    models = [model for model, _, _ in family(family_id).models()]
    said = ["class"] if any(m in MODELS for m in models) else [WITHOUT_CLASS.get(models[0], "")]
    converted = {*CONVERTED, *LORA_CONVERTERS, *UNETS}
    return " + ".join(said + (["converter"] if converted & set(models) else []))


def row(family_id: str, sets: dict[str, dict[str, list[int]]], folder: Path) -> str:
    right = whole = 0
    cells: dict[str, set[str]] = defaultdict(set)
    for name, keys in sets.items():
        print(family_id, name, file=sys.stderr, flush=True)
        source = folder / "source.safetensors"
        save_file(fill(keys), source)
        good, count = recognised(family_id, keys)
        right, whole = right + good, whole + count
        for to in TARGETS:
            cells[to].add(there_and_back(family_id, source, folder, to))
    shown = [" ".join(sorted(cells[to])) for to in TARGETS]
    number = "made" if "made" in sets else str(len(sets))
    return f"| {family_id} | {number} | {right}/{whole} | " + " | ".join(shown) + f" | {oracle(family_id)} |"


def main(wanted: list[str]) -> None:
    lines = ["| family | sets | recognised | " + " | ".join(TARGETS) + " | oracle |", "|---" * (len(TARGETS) + 4) + "|"]
    with TemporaryDirectory() as folder:
        lines += [row(name, sets, Path(folder)) for name, sets in files().items() if not wanted or name in wanted]
    if wanted:
        print("\n".join(lines))
        return
    head, mark, rest = DOCS.read_text(encoding="utf-8").partition(MARKS[0])
    DOCS.write_text(head + mark + "\n" + "\n".join(lines) + "\n\n" + MARKS[1] + rest.partition(MARKS[1])[2],
                    encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
