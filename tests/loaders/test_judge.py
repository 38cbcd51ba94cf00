"""What programs are said to make of the key sets that trainers write.

The figures for ComfyUI are those of its own ``load_lora`` on complete files (0.3.64: the keys that it reports as not
loaded), written down in docs/formats.md; those of diffusers are tried in test_diffusers.
"""

from __future__ import annotations

import json
import re

import pytest

from loratool.adapter.adapter import Adapter
from loratool.loaders import PROGRAMS, program
from loratool.loaders.judge import judge, judge_all, target
from loratool.naming.dialect import TARGETS
from loratool.naming.families import FAMILIES, of_model
from tests.keysets import family_of, keys_of
from tests.naming.test_detect import header_only


def opened(tmp_path, name):
    return Adapter.open(str(header_only(tmp_path / "a.safetensors", keys_of(name))), family_of(name))


@pytest.mark.parametrize(("name", "loads", "modules"), [
    ("sd15_kohya_lora", "all", 264), ("sdxl_kohya_locon", "all", 1052), ("sdxl_aitoolkit_lora", "all", 986),
    ("sd15_diffusers_lora", "none", 0), ("sdxl_diffusers_lora", "none", 0), ("sd21_diffusers_lora", "none", 0),
    ("sd15_diffusers_old_processor", "all", 128), ("sd15_lycoris_loha_usetucker", "all", 266),
    ("sd15_lycoris_ia3", "none", 0), ("flux1dev_kohya_lora", "all", 376), ("flux1-dev_diffusers_lora", "all", 342),
    ("flux1-dev_xlabs_lora", "none", 0), ("flux1dev_kohya_oft", "none", 0), ("flux1-dev_comfy_generic_lora", "all", 304),
    ("hunyuanvideo_kohya_lora", "part", 160), ("hunyuanvideo_diffusionpipe_lora", "all", 240),
    ("hunyuanvideo_diffusers_lora", "none", 0), ("wan21-t2v-14b_kohya_lora", "all", 400),
    ("wan21-t2v-14b_diffusers_lora", "none", 0), ("wan21-t2v-14b_comfy_lora_diff", "all", 602),
    ("lumina2_diffusers_lora", "none", 0), ("lumina2_kohya_lora", "all", 180), ("sd3m_kohya_lora", "all", 501),
    ("sd35m_diffusers_lora", "all", 392), ("qwen-image_kohya_lora", "all", 840), ("hidream_diffusers_lora", "all", 1128),
    ("flux2-klein-4b_kohya_lora", "none", 0),
])
def test_comfyui(tmp_path, name, loads, modules):
    with opened(tmp_path, name) as adapter:
        found = judge(adapter, program("comfyui"))
        assert (found.loads, found.modules) == (loads, modules)
        assert len(found.left_out) == len(adapter.layers) - modules or found.notes[0].startswith("version")


def test_each_reason_is_said(tmp_path):
    with opened(tmp_path, "sd15_lycoris_lokr_factor8") as adapter:
        said = {found.program: found.says for found in judge_all(adapter)}
    assert said["comfyui"] == "loads all 266 layers"
    assert said["diffusers"] == "cannot load it: it refuses LoKr"
    assert said["sd-scripts"] == "cannot load it: ignores 266 lokr layers"
    assert said["musubi-tuner"] == "cannot load it: version 30c658c4 does not know Stable Diffusion 1.x"


def test_an_alpha_that_a_program_does_not_look_at_is_named(tmp_path):
    from safetensors.numpy import save_file

    from tests.keysets import fill, with_rank

    settings = json.dumps({"transformer.r": 4, "transformer.lora_alpha": 2})
    keys = with_rank({k: v for k, v in keys_of("flux1-dev_diffusers_lora").items() if ".0." in k}, 4)
    save_file(fill(keys), tmp_path / "a.safetensors", metadata={"lora_adapter_metadata": settings})
    with Adapter.open(str(tmp_path / "a.safetensors"), "flux1") as adapter:
        assert judge(adapter, program("diffusers")).notes == ()
        assert judge(adapter, program("comfyui")).notes == ("ignores alpha: the scale is 1 instead of 0.5",)


@pytest.mark.parametrize(("name", "reader", "dialect"), [
    ("sd15_diffusers_lora", "comfyui", "kohya"), ("sd15_kohya_lora", "diffusers", "diffusers"),
    ("flux1-dev_diffusers_lora", "forge", "kohya"), ("hunyuanvideo_kohya_lora", "comfyui", "comfyui"),
    ("wan21-t2v-14b_diffusers_lora", "musubi-tuner", "kohya"), ("flux1dev_kohya_lora", "a1111", None),
    ("z-image_kohya_lora", "invokeai", "diffusers"), ("sdxl_kohya_lora", "a1111", "kohya")])
def test_the_dialect_for_a_program_is_one_that_it_loads(tmp_path, name, reader, dialect):
    with opened(tmp_path, name) as adapter:
        assert target(adapter, program(reader)).dialect == dialect


@pytest.mark.parametrize(("name", "reader", "why"), [
    ("sd15_diffusers_peft_loha", "diffusers", "cannot load the file: it refuses LoHa"),
    ("sd15_lycoris_lokr_factor8", "sd-scripts", "loads none of its layers, whatever their names"),
    ("flux1dev_kohya_lora", "a1111", "loads this base model in no dialect")])
def test_no_dialect_is_chosen_where_the_program_would_load_nothing(tmp_path, name, reader, why):
    with opened(tmp_path, name) as adapter:
        found = target(adapter, program(reader))
    assert found.dialect is None and found.why == why


def test_what_the_program_ignores_even_so_is_counted(tmp_path):
    with opened(tmp_path, "flux1dev_kohya_lora") as adapter:
        encoders = sum(layer.address.component != "denoiser" for layer in adapter.layers.values())
        assert target(adapter, program("musubi-tuner")).ignored == encoders > 0
        assert target(adapter, program("invokeai")).ignored == 0
        assert target(adapter, program("comfyui")).ignored == 0


@pytest.mark.parametrize(("word", "loads"), [("default", "all"), ("style", "none")])
def test_comfyui_reads_no_adapter_name_but_default(tmp_path, word, loads):
    keys = {key.replace(".lora_A.", f".lora_A.{word}.").replace(".lora_B.", f".lora_B.{word}."): shape
            for key, shape in keys_of("flux1-dev_diffusers_lora").items()}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys)), "flux1") as adapter:
        assert judge(adapter, program("comfyui")).loads == loads
        assert target(adapter, program("comfyui")).ignored == 0


@pytest.mark.parametrize(("block", "loads"), [(0, "all"), (1, "none")])
def test_comfyui_knows_double_underscores_of_wan_by_block_0(tmp_path, block, loads):
    keys = {key.replace("lora_unet_", "lora_unet__"): shape for key, shape in keys_of("wan21-t2v-14b_kohya_lora").items()
            if f"_blocks_{block}_" in key}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys)), "wan") as adapter:
        assert judge(adapter, program("comfyui")).loads == loads


def test_a_file_for_several_models_is_judged_as_one_that_the_program_knows(tmp_path):
    path = header_only(tmp_path / "a.safetensors", keys_of("flux1-dev_diffusers_lora"))
    with Adapter.open(str(path)) as adapter:
        assert adapter.family is None and {"flux1", "chroma"} <= adapter.identification.possible
        assert judge(adapter, program("invokeai")).loads == "all"
        assert judge(adapter, program("musubi-tuner")).notes != ()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_profile_names_families_and_dialects_that_exist(name):
    profile = program(name)
    assert profile.id == name and profile.version and profile.title
    assert set(profile.families) <= set(FAMILIES)
    assert {family for rule in profile.names for family in rule.families} <= set(profile.families)
    assert set(profile.prefers) <= set(TARGETS)


def test_a_file_of_an_unknown_model_is_not_judged(tmp_path):
    keys = {"diffusion_model.stem.lora_A.weight": [4, 64], "diffusion_model.stem.lora_B.weight": [64, 4]}
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys))) as adapter:
        assert {found.loads for found in judge_all(adapter)} == {"unknown"}
        assert target(adapter, program("comfyui")).why == "cannot be written for: the base model is not known"


@pytest.mark.parametrize("part", ("blocks", "blocks and final_layer.linear", "all", "attention"))
def test_diffusers_reads_fal_s_names_where_all_blocks_are_there(tmp_path, part):
    """Against ``FluxPipeline.lora_state_dict``, which raises on files that lack a module or have another one."""
    import torch
    from diffusers import FluxPipeline

    keep = {"blocks": "blocks", "blocks and final_layer.linear": r"blocks|final_layer\.linear", "all": "",
            "attention": r"attn|final_layer\.linear"}[part]
    keys = {}
    for name, module in of_model("flux1/dev").trees["dev"].modules.items():
        if re.search(keep, name):
            keys[f"base_model.model.{name}.lora_A.weight"] = [1, module.shape[1]]
            keys[f"base_model.model.{name}.lora_B.weight"] = [module.shape[0], 1]
    try:
        read = FluxPipeline.lora_state_dict({key: torch.zeros(shape) for key, shape in keys.items()})
        expected = "all" if all(key.startswith("transformer.") for key in read) else "part"
    except (KeyError, ValueError):
        expected = "none"
    with Adapter.open(str(header_only(tmp_path / "a.safetensors", keys)), "flux1") as adapter:
        assert judge(adapter, program("diffusers")).loads == expected
