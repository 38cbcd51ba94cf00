"""Identification on the key sets that programs write: the truth, or a set that holds it, never another family."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import pytest

from loratool.adapter.adapter import Adapter
from loratool.adapter.shapes import update_shape
from loratool.naming.detect import Identification, Spelled, identify
from loratool.naming.dialect import split_prefix
from loratool.naming.families import family
from loratool.naming.suffix import split_suffix
from tests.keysets import family_of as true_family
from tests.keysets import keys_of, keysets

OURS = list(keysets())
TWINS = {"flux1-dev_diffusers_lora": {"flux1", "chroma"}, "flux1-kontext_kohya_lora": {"flux1", "chroma"},
         "framepack_kohya_lora": {"framepack", "hunyuan-video"},
         "hunyuanvideo_diffusers_lora": {"framepack", "hunyuan-video"},
         "anima_kohya_lora": {"anima", "cosmos-predict2"},
         "cosmos-predict2-2b_diffusers_lora": {"anima", "cosmos-predict2"}}
"""Sets whose every module another family has too, in the same shape: the answer is both."""

FORMATS = {
    "kohya": "kohya", "kohya (sgm/LDM names)": "kohya", "kohya (BFL names)": "kohya",
    "kohya lora_unet_ (musubi)": "kohya", "kohya (LyCORIS)": "kohya",
    "kohya prefix on diffusers names": "kohya-diffusers",
    "ai-toolkit lora_te_text_model_encoder_layers_0_self_attn_k_proj": "kohya-diffusers",
    "ai-toolkit lora_te1_text_model_encoder_layers_0_self_attn_k_proj": "kohya-diffusers",
    "ai-toolkit lora_unet_down_blocks_0_resnets_0_conv1": "kohya-diffusers",
    "ai-toolkit transformer": "diffusers", "diffusers-peft unet.*": "diffusers",
    "diffusers-peft transformer.*": "diffusers", "ComfyUI diffusion_model.<BFL> + lora_down/up + alpha": "comfyui",
    "kohya lora_unet_blocks_": "kohya", "kohya (sai mmdit names)": "kohya",
    "kohya oft_unet_": "kohya", "ai-toolkit diffusion_model": "comfyui", "XLabs processor": "xlabs",
    "ComfyUI diffusion_model.<native>": "comfyui", "ComfyUI diffusion_model.* + diff/diff_b": "comfyui",
    "diffusion-pipe transformer.<native>": "diffusion-pipe",
    "diffusers old: unet.*.processor.to_q_lora.up.weight": "old-diffusers",
}
"""How the key sets call a dialect -> its id here."""
LORAS = [name for name in OURS if keysets()[name]["about"]["algo"].split(" ")[0] in (
    "lora", "locon", "lora+conv", "dylora", "lora-fa", "locon_usetucker")]
PLAIN = [name for name in LORAS if name not in TWINS]


def spelled(keys: Mapping[str, Iterable[int]]) -> list[Spelled]:
    """What an adapter's header gives: one entry a module."""
    found: dict[str, tuple[set[str], dict[str, tuple[int, ...]]]] = {}
    for key, shape in keys.items():
        stem, _, factor = split_suffix(key)
        if factor is not None:
            algorithms, roles = found.setdefault(stem, (set(), {}))
            algorithms.add(factor.algorithm)
            roles[factor.role] = tuple(shape)
    return [Spelled(stem, *split_prefix(stem), update_shape(*entry)) for stem, entry in found.items()]


def identified(name: str, keep=lambda module: True, declared: str | None = None) -> Identification:
    return identify([module for module in spelled(keys_of(name)) if keep(module)], declared)


@pytest.mark.parametrize("name", LORAS)
def test_a_lora_of_a_known_family_is_identified_by_every_name_and_shape(name):
    found = identified(name)
    if name in TWINS:
        assert (found.family, found.confidence, found.possible) == (None, "ambiguous", TWINS[name])
    else:
        assert found.family == true_family(name)
        assert found.confidence == ("likely" if name == "flux1-dev_xlabs_lora" else "proved")
    assert found.unexplained == ()
    assert found.conflicts == {}
    assert len(found.hits) == len(spelled(keys_of(name)))


@pytest.mark.parametrize("name", [n for n in OURS if n not in LORAS])
def test_other_algorithms_are_identified_or_leave_the_truth_possible(name):
    found = identified(name)
    assert true_family(name) in found.possible
    assert found.family in (None, true_family(name))


@pytest.mark.parametrize("family_id", ["sdxl", "flux1", "wan", "qwen-image"])
def test_a_model_that_nobody_described_gets_no_name(family_id):
    """The names of a family in another width, and names of nobody."""
    modules = [Spelled(f"diffusion_model.{name}", "diffusion_model.", name, (m.shape[0] + 8, m.shape[1] + 8))
               for name, m in next(iter(family(family_id).trees.values())).modules.items()]
    found = identify(modules)
    assert (found.family, found.confidence, found.models) == (None, "unknown", ())
    strange = [Spelled(f"diffusion_model.{n}", "diffusion_model.", n, (64, 64)) for n in ("stem.0", "stem.1", "tail")]
    assert identify(strange).confidence == "unknown"


def is_encoder(module: Spelled) -> bool:
    return module.prefix.startswith(("lora_te", "text_encoder"))


BLOCKS = ("down_blocks_1", "input_blocks_4", "double_blocks_3", "transformer_blocks_3", "single_blocks_5",
          "single_transformer_blocks_5", "mid_block", "middle_block", "up_blocks_0", "output_blocks_2")


def in_block(block: str):
    return lambda m: f"_{block}_" in "_" + m.name.replace(".", "_") and not is_encoder(m)


CUTS = {
    "one block": [in_block(block) for block in BLOCKS],
    "attention": [lambda m: "attn" in m.name, lambda m: "attn" in m.name and not is_encoder(m),
                  lambda m: "attn1" in m.name, lambda m: "attn2" in m.name,
                  lambda m: m.name.endswith(("to_k", "to_v", "qkv"))],
    "MLP": [lambda m: any(w in m.name for w in ("mlp", "ff", "linear1", "linear2", "proj_out")),
            lambda m: any(w in m.name for w in ("mlp", "_ff_", ".ff.")) and not is_encoder(m)],
    "encoders": [is_encoder, *(lambda m, p=p: m.prefix == p for p in ("lora_te_", "lora_te1_", "lora_te2_"))],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", OURS)
def test_a_part_of_a_file_is_never_stated_to_be_of_another_family(name, cut):
    for keep in CUTS[cut]:
        kept = [m for m in spelled(keys_of(name)) if keep(m)]
        found = identify(kept)
        assert found.family in (None, true_family(name))
        if kept:
            assert true_family(name) in found.possible


@pytest.mark.parametrize("step", [10, 37])
@pytest.mark.parametrize("name", LORAS)
def test_every_tenth_module_still_says_the_family(name, step):
    modules = spelled(keys_of(name))
    for start in (0, 3, 7):
        found = identify(modules[start::step])
        assert found.family in (None, true_family(name))
        assert true_family(name) in found.possible


@pytest.mark.parametrize("name", LORAS)
def test_each_single_module_leaves_the_truth_possible(name):
    for module in spelled(keys_of(name))[::41]:
        found = identify([module])
        assert found.family in (None, true_family(name)), module.stem
        assert true_family(name) in found.possible, module.stem


@pytest.mark.parametrize("name", PLAIN)
def test_three_unknown_modules_are_named_and_change_no_answer(name):
    strange = [Spelled(f"lora_unet_strange_{n}", "lora_unet_", f"strange_{n}", (7, 5)) for n in range(3)]
    found = identify([*spelled(keys_of(name)), *strange])
    assert found.family == true_family(name)
    assert found.confidence == "likely"
    assert found.unexplained == tuple(m.stem for m in strange)


@pytest.mark.parametrize("name", ["sd15_kohya_lora", "sdxl_kohya_lora", "flux1dev_kohya_lora",
                                  "wan21-t2v-14b_kohya_lora"])
def test_wrong_shapes_are_conflicts_not_another_family(name):
    modules = spelled(keys_of(name))
    changed = [Spelled(m.stem, m.prefix, m.name, (m.shape[0] + 1, *m.shape[1:])) for m in modules[:3]]
    found = identify([*changed, *modules[3:]])
    assert found.family == true_family(name)
    assert found.conflicts == {m.stem: m.shape for m in modules[:3]}


@pytest.mark.parametrize("name", ["sd15_kohya_lora", "sdxl_kohya_lora", "flux1dev_kohya_lora"])
def test_names_of_a_family_in_foreign_shapes_are_not_that_family(name):
    half = [Spelled(m.stem, m.prefix, m.name, (m.shape[0] // 2, m.shape[1] // 2, *m.shape[2:]))
            for m in spelled(keys_of(name))]
    assert identify(half).family is None


def test_more_blocks_than_the_family_has_speak_against_it():
    """FLUX.1 has 19 + 38 blocks; a model of the same widths with 30 + 60 is none."""
    base = [m for m in spelled(keys_of("flux1dev_kohya_lora")) if "_0_" in m.name and m.prefix == "lora_unet_"]
    deep = [Spelled(m.stem.replace("_0_", f"_{n}_", 1), m.prefix, m.name.replace("_0_", f"_{n}_", 1), m.shape)
            for m in base for n in range(30 if "double" in m.name else 60)]
    assert identify(deep).family is None


def test_self_attention_of_the_inner_levels_fits_sd1_and_sd2_alike():
    """Without cross-attention and projections nothing tells them apart: both are named."""
    def keep(m: Spelled) -> bool:
        return "attn1" in m.name and not is_encoder(m)

    for name in ("sd15_kohya_lora", "sd21_diffusers_lora"):
        found = identified(name, keep)
        assert (found.family, found.confidence) == (None, "ambiguous")
        assert found.possible == {"sd1", "sd2"}


@pytest.mark.parametrize(("declared", "family_id"), [("sd1", "sd1"), ("sd2", "sd2"), ("sdxl", None), (None, None)])
def test_the_metadata_decides_between_equals_and_nothing_else(declared, family_id):
    found = identified("sd15_kohya_lora", lambda m: "attn1" in m.name and not is_encoder(m), declared)
    assert found.family == family_id
    assert found.confidence == ("likely" if family_id else "ambiguous")


@pytest.mark.parametrize("declared", ["sd1", "flux1/dev", "wan", "", "/", "nonsense"])
def test_the_metadata_never_overrules_the_tensors(declared):
    assert identified("sdxl_kohya_lora", declared=declared).family == "sdxl"
    assert identified("wan21-t2v-14b_kohya_lora", declared=declared).family == "wan"


FLUX_LORAS = [n for n in PLAIN if true_family(n) == "flux1" and n != "flux1-dev_xlabs_lora"]


@pytest.mark.parametrize("name", FLUX_LORAS)
def test_a_flux_variant_is_not_guessed(name):
    """dev, Kontext and Krea are one architecture; the candidates say so."""
    found = identified(name)
    assert found.variant is None
    variants = {c.id.split("/")[1] for c in found.candidates}
    stems = [m.name.replace("_", ".") for m in spelled(keys_of(name))]
    guided = any("guidance" in stem for stem in stems)
    assert {"dev", "kontext", "krea"} <= variants
    assert ("schnell" in variants) == (not guided)


def test_the_width_of_img_in_tells_fill_and_control_from_dev():
    modules = [m for m in spelled(keys_of("flux1-dev_aitoolkit_lora_full")) if m.name != "x_embedder"]
    for width, variants in ((64, {"dev", "kontext", "krea"}), (384, {"fill"}), (128, {"canny", "depth"})):
        found = identify([*modules, Spelled("transformer.x_embedder", "transformer.", "x_embedder", (3072, width))])
        assert {c.id.split("/")[1] for c in found.candidates} == variants
        assert found.conflicts == {}
        assert found.variant == (next(iter(variants)) if len(variants) == 1 else None)


def test_the_metadata_names_a_variant_only_where_it_fits():
    assert identified("flux1dev_kohya_lora", declared="flux1/schnell").variant == "schnell"
    assert identified("flux1dev_kohya_lora", declared="flux1/fill-2").variant is None
    assert identified("flux1-dev_aitoolkit_lora_full", declared="flux1/schnell").variant is None
    assert identified("flux1-dev_aitoolkit_lora_full", declared="flux1/kontext").variant == "kontext"


def test_coverage_counts_the_modules_that_the_family_has_of_the_kinds_present():
    whole = identified("sdxl_kohya_lora_unetonly")
    assert (whole.candidates[0].coverage, whole.candidates[0].missing) == (1.0, 0)
    modules = spelled(keys_of("sdxl_kohya_lora_unetonly"))
    without = [m for m in modules if "input_blocks_4_1_transformer_blocks_1_" not in m.name]
    (candidate,) = identify(without).candidates
    assert (len(modules), candidate.missing) == (722, 10)
    assert candidate.coverage == pytest.approx(712 / 722, abs=1e-4)


def test_no_module_is_unknown():
    assert identify([]).family is None
    assert identify([Spelled("a", "", "a", None), Spelled("", "", "", (1, 1))]).family is None


def header_only(path: Path, keys: Mapping[str, Iterable[int]]) -> Path:
    """A file with these tensors, all zero: the zeros are a hole in the file."""
    entries, at = {}, 0
    for key, shape in keys.items():
        size = 2 * prod(shape)
        entries[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return path


@pytest.mark.parametrize("name", LORAS)
def test_the_dialect_of_a_lora_file_is_named(name, tmp_path):
    """Kohya's main spelling of SD 1 is diffusers' own: there the two dialects are one."""
    expected = FORMATS[keysets()[name]["about"]["dialect"]]
    if expected == "kohya-diffusers" and family(true_family(name)).kohya_spelling == "diffusers":
        expected = "kohya"
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys_of(name))), true_family(name)) as adapter:
        assert adapter.family == true_family(name)
        assert adapter.key_format == expected
        assert len(adapter.lora_layers) == len(adapter.layers) == len(spelled(keys_of(name)))
        assert adapter.loose == ()


def test_encoders_in_another_dialect_than_the_denoiser_are_not_mixed(tmp_path):
    """Native denoiser and kohya encoders is a normal file; the denoiser names the dialect."""
    keys = {**keys_of("sdxl_diffusers_lora"),
            **{k: v for k, v in keys_of("sdxl_kohya_lora").items() if k.startswith("lora_te")}}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys))) as adapter:
        assert adapter.family == "sdxl"
        assert adapter.key_format == "diffusers"
        assert set(adapter.dialects) == {"denoiser", "clip-l", "clip-g"}


def test_two_spellings_inside_the_denoiser_are_mixed(tmp_path):
    native = {k: v for k, v in keys_of("flux1dev_kohya_lora").items() if "double_blocks" in k}
    split = {k: v for k, v in keys_of("flux1-dev_aitoolkit_lora").items() if ".single_transformer_blocks." in k}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", {**native, **split}))) as adapter:
        assert adapter.family == "flux1"
        assert adapter.key_format == "mixed"


ALIKE = {
    "all layers in the blocks of Chroma": ("chroma_diffusers_lora", lambda m: "transformer_blocks." in m.name),
    "MLPs of Chroma": ("chroma_diffusers_lora", lambda m: ".ff." in m.name and m.name.startswith("transformer_blocks")),
    "attention of FLUX.2": ("flux2-klein-4b_kohya_lora", lambda m: m.name.endswith("qkv")),
    "a block of FramePack": ("framepack_kohya_lora", in_block("single_transformer_blocks_5")),
    "a block of HunyuanVideo": ("hunyuanvideo_kohya_lora", in_block("single_blocks_5")),
    "encoders of SD 3": ("sd35m_kohya_lora", is_encoder),
}
"""Parts of models whose names and shapes another family has too."""


@pytest.mark.parametrize("part", ALIKE)
def test_a_part_that_another_model_has_too_proves_nothing(part):
    name, keep = ALIKE[part]
    found = identified(name, keep)
    assert found.confidence != "proved"
    assert true_family(name) in found.possible


FEW = ["sd15_kohya_lora", "sdxl_kohya_lora_unetonly", "flux1dev_kohya_lora", "wan21-t2v-14b_kohya_lora"]


@pytest.mark.parametrize("count", [2, 3, 4, 8, 40])
@pytest.mark.parametrize("name", FEW)
def test_one_wrong_shape_among_few_modules_is_a_conflict(name, count):
    """Names identify the model; a shape that none of the candidates has is that layer's fault."""
    modules = [m for m in spelled(keys_of(name)) if m.prefix == "lora_unet_"][:count]
    wrong = modules[0]._replace(shape=(modules[0].shape[0] + 1, *modules[0].shape[1:]))
    found = identify([wrong, *modules[1:]])
    assert true_family(name) in found.possible
    assert found.confidence in ("likely", "ambiguous")
    assert set(found.conflicts) == {wrong.stem}


def test_the_modules_that_identify_a_file_are_looked_at_once():
    """Files of one trainer for one model have the same modules: their answer is the same object."""
    modules = spelled(keys_of("sdxl_kohya_lora"))
    assert identify(modules) is identify(list(modules))


def test_a_part_that_fits_several_families_has_a_dialect_that_one_of_them_is_written_in(tmp_path):
    """``single_blocks.N.linear1`` is a native name in all of them: after ``transformer.`` it is no diffusers file."""
    keys = {f"transformer.single_blocks.9.linear1.lora_{half}.weight": shape
            for half, shape in (("A", [4, 3072]), ("B", [21504, 4]))}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys))) as adapter:
        assert adapter.family is None and adapter.key_format == "diffusion-pipe"
