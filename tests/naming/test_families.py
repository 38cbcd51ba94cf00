"""The family tables against the classes and converters of diffusers and transformers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.loaders import lora_conversion_utils, single_file_utils

from loratool.naming import index
from loratool.naming.families import FAMILIES, encoder_tree, family
from loratool.naming.families.text_encoders import NETWORKS
from loratool.naming.family import Part, Tree, tree
from tests.models import ENCODERS, MODELS, UNETS, WITHOUT_CLASS, denoiser

TREES = {model: network for f in FAMILIES for model, network, _ in family(f).models()}
LAYERS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.ConvTranspose1d,
          torch.nn.ConvTranspose2d)


def of_class(model: torch.nn.Module) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Name -> (shape of the weight, has a bias), of every linear and convolution layer (HiDream's gate is one)."""
    return {name: (tuple(m.weight.shape), getattr(m, "bias", None) is not None) for name, m in model.named_modules()
            if isinstance(m, LAYERS) or type(m).__name__ == "MoEGate"}


def of_tree(network: Tree) -> dict[str, tuple[tuple[int, ...], bool]]:
    """The same of the diffusers side of a table; a name may occur once."""
    found: dict[str, tuple[tuple[int, ...], bool]] = {}
    for module in network.modules.values():
        for part in module.parts:
            out = module.shape[0] if part.rows is None else sum(end - begin for begin, end in part.rows)
            assert part.name not in found, f"{part.name} is in the table twice"
            found[part.name] = ((out, *module.shape[1:]), module.bias)
    return found


@pytest.fixture(scope="module", autouse=True)
def on_meta():
    """Classes have names and shapes, and no weights."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("model", MODELS)
def test_names_shapes_and_biases_are_those_of_the_diffusers_class(model):
    assert of_tree(TREES[model]) == of_class(denoiser(model))


@pytest.mark.parametrize("model", MODELS)
def test_norms_are_modules_of_the_diffusers_class(model):
    real = dict(denoiser(model).named_modules())
    assert [part.name for m in TREES[model].norms.values() for part in m.parts if part.name not in real] == [
        name for name in OPTIONAL_NORMS.get(model, [])]


OPTIONAL_NORMS = {"sd3/medium": [f"transformer_blocks.{n}.attn.{name}" for name in
                                 ("norm_added_q", "norm_added_k", "norm_q", "norm_k") for n in range(24)]}
"""Only Stable Diffusion 3.5 normalises queries and keys."""


@pytest.mark.parametrize("tree_id", ENCODERS)
def test_encoder_names_shapes_and_biases_are_those_of_the_transformers_class(tree_id):
    """transformers 5 leaves out ``text_model.`` in CLIPTextModel, files have it."""
    real = of_class(ENCODERS[tree_id]())
    if tree_id in ("clip-l", "openclip-h"):
        real = {name if name.startswith("text_model.") else "text_model." + name: v for name, v in real.items()}
    assert of_tree(encoder_tree(tree_id)) == real


def test_every_table_of_the_program_is_compared_with_a_class_or_says_why_not():
    assert set(TREES) == {*MODELS, *WITHOUT_CLASS}
    assert set(NETWORKS) == set(ENCODERS)
    used = {e.tree for f in FAMILIES for e in family(f).encoders.values()}
    assert used == set(NETWORKS)


@pytest.mark.parametrize("network", [*TREES.values(), *map(encoder_tree, NETWORKS)], ids=[*TREES, *NETWORKS])
def test_every_native_row_is_in_exactly_one_part(network):
    for module in network.modules.values():
        out = module.shape[0]
        counted = np.zeros(out, np.int64)
        for part in module.parts:
            for begin, end in part.rows or ((0, out),):
                assert 0 <= begin < end <= out, module.native
                counted[begin:end] += 1
        assert (counted == 1).all(), module.native


FINAL = "final_layer.adaLN_modulation.1"
SWAPPED = {
    "sd3/medium": ["joint_blocks.23.context_block.adaLN_modulation.1", FINAL],
    "sd3/3.5-medium": ["joint_blocks.23.context_block.adaLN_modulation.1", FINAL],
    "sd3/3.5-large": ["joint_blocks.37.context_block.adaLN_modulation.1", FINAL],
    **{f"flux1/{v}": [FINAL] for v in ("dev", "schnell", "fill", "canny")},
    **{f"flux2/{v}": [FINAL] for v in ("dev", "klein-4b", "klein-9b")},
    "flux3": ["final_layer.image.adaLN_modulation.1"], "auraflow": ["modF.1"], "hunyuan-video": [FINAL],
    "hunyuan-video-1.5": [FINAL], "hunyuan-image": [FINAL],
    "minimax-h3": [*(f"token_refiner.blocks.{n}.mlp.fc1" for n in range(2)), *(f"blocks.{n}.mlp.fc1" for n in range(50))],
    "mochi": [*(f"blocks.{n}.mlp_x.w1" for n in range(48)), *(f"blocks.{n}.mlp_y.w1" for n in range(47)), "final_layer.mod"],
}
"""Model -> modules whose diffusers weight has the native second half first; nothing else is reordered."""


@pytest.mark.parametrize("model", TREES)
def test_only_final_modulations_and_gated_layers_have_their_halves_swapped(model):
    swapped = [m.native for m in TREES[model].modules.values() for part in m.parts
               if part.rows and part.rows != tuple(sorted(part.rows))]
    assert swapped == SWAPPED.get(model, [])


CONVERTERS = {
    "stable-cascade": "stable_cascade_unet_single_file", "sd3": "sd3_transformer_checkpoint",
    "flux1": "flux_transformer_checkpoint", "chroma": "chroma_transformer_checkpoint",
    "flux2": "flux2_transformer_checkpoint", "flux3": "flux3_transformer_checkpoint", "lumina2": "lumina2",
    "z-image": "z_image_transformer_checkpoint", "auraflow": "auraflow_transformer_checkpoint",
    "hunyuan-video": "hunyuan_video_transformer", "wan": "wan_transformer", "hidream": "hidream_transformer",
    "ltx-video": "ltx_transformer_checkpoint", "ltx2": "ltx2_transformer",
    "cosmos-predict2": "cosmos_transformer_checkpoint", "anima": "cosmos_transformer_checkpoint",
    "krea2": "krea2_transformer_checkpoint", "minimax-h3": "minimax_h3_transformer_checkpoint",
    "mochi": "mochi_transformer_checkpoint", "sana": "sana_transformer",
    "ernie-image": "ernie_image_transformer_checkpoint",
}
"""Family -> diffusers' own converter of native checkpoints."""
LORA_CONVERTERS = {
    "ideogram4": ("ideogram4", r"layers\."),  # refuses what is outside the layers
    "ace-step/1.5": ("ace_step", r"(?!proj_in|proj_out)"),  # leaves the two convolutions unrenamed
    "ltx2/2.0": ("ltx2", ""), "ltx2/2.3": ("ltx2", ""),
    "qwen-image": ("qwen", ""), "anima": ("anima", ""), "krea2": ("krea2", ""), "minimax-h3": ("minimax_h3", ""),
}
"""Model -> diffusers' converter of native LoRA files, and which native modules it knows."""
SAME_NAMES = {"framepack", "qwen-image", "kandinsky5/lite", "kandinsky5/lite-image", "kandinsky5/pro", "cogvideox/2b",
              "cogvideox/5b", "cogview4", "prx", "omnigen2", "ace-step/1"}
"""Models whose table takes the names of diffusers as the native ones. Scripts convert checkpoints of CogVideoX, CogView4
and PRX that have other names; no table holds those."""
UNCONVERTED = {
    "pixart-sigma": "its converter is a script (convert_pixart_sigma_to_diffusers), which is not installed",
    "hunyuan-video-1.5": "its converter is a script (convert_hunyuan_video1_5_to_diffusers), which is not installed",
    "hunyuan-image": "its converter is a script (convert_hunyuan_image_to_diffusers), which is not installed",
}
"""Models whose rows no installed converter moves; their names and shapes are still compared with the class."""
CONVERTED = [model for model in TREES if model.partition("/")[0] in CONVERTERS and model != "ltx2/2.3"]
"""The converter of LTX-2 checkpoints does not know the prompt modulation of 2.3; the one of LoRA files does."""
TABLES = {
    "sd3": {"pos_embed": (1,)}, "auraflow": {"positional_encoding": (1,), "register_tokens": (1,)},
    "sana": {"pos_embed": (1,), "y_embedder.y_embedding": (1,), "final_layer.scale_shift_table": (1,),
             **{f"blocks.{n}.scale_shift_table": (1,) for n in range(20)}},
    "mochi": {"pos_frequencies": (1,)}, "wan": {"head.modulation": (1,)},
    "krea2": {"last.modulation.lin": (2, 6144), **{f"blocks.{n}.mod.lin": (36864,) for n in range(28)}},
}
"""Parameters that are no layer and that a converter wants to see."""


def marked(network: Tree) -> dict[str, torch.Tensor]:
    """Native module -> a weight of one column, each row holding a number that no other row of the model holds."""
    found, begin = {}, 1
    for module in network.modules.values():
        found[module.native] = torch.arange(begin, begin + module.shape[0], dtype=torch.float64).reshape(-1, 1)
        begin += module.shape[0]
    return found


def checkpoint(model: str) -> dict[str, torch.Tensor]:
    """The model's native state dict, of marked rows."""
    network, family_id = TREES[model], model.partition("/")[0]
    native = {}
    for name, rows in marked(network).items():
        dot = "_" if name.endswith("attn.in_proj") else "."
        native[f"{name}{dot}weight"] = rows
        if network.modules[name].bias:
            native[f"{name}{dot}bias"] = rows[:, 0]
    kind = "scale" if family_id in ("flux1", "flux2", "flux3", "chroma", "krea2") else "weight"
    native |= {f"{name}.{kind}": torch.zeros(1) for name in network.norms}
    native |= {name: torch.zeros(shape) for name, shape in TABLES.get(family_id, {}).items()}
    return {"net." * (family_id in ("cosmos-predict2", "anima")) + name: value for name, value in native.items()}


def spelled(model: str, pattern: str = "") -> dict[str, torch.Tensor]:
    """Diffusers module -> its marked rows, as the table has them; of the native modules that match."""
    found = {}
    for name, rows in marked(TREES[model]).items():
        if re.match(pattern, name):
            for part in TREES[model].modules[name].parts:
                found[part.name] = rows if part.rows is None else torch.cat([rows[b:e] for b, e in part.rows])
    return found


@pytest.mark.parametrize("model", CONVERTED)
def test_rows_go_where_diffusers_own_converter_puts_them(model):
    with torch.device("cpu"):
        more = {"config": {"num_attention_heads": 56, "attention_head_dim": 128}} if model == "minimax-h3" else {}
        convert = getattr(single_file_utils, f"convert_{CONVERTERS[model.partition('/')[0]]}_to_diffusers")
        real = convert(checkpoint(model), **more)
        biased = {part.name for m in TREES[model].modules.values() if m.bias for part in m.parts}
        expected = {}
        for name, rows in spelled(model).items():
            expected[f"{name}.weight"] = rows
            if name in biased:
                expected[f"{name}.bias"] = rows[:, 0]
    norms = {f"{part.name}.weight" for m in TREES[model].norms.values() for part in m.parts}
    assert norms | expected.keys() <= real.keys()
    assert [name for name in expected if not torch.equal(real[name].double(), expected[name])] == []
    left = {re.sub(r"\d+", "N", name) for name in real.keys() - expected.keys() - norms}
    assert left <= {"scale_shift_table", "pos_embed.pos_embed", "register_tokens", "pos_frequencies",
                    "transformer_blocks.N.scale_shift_table", "final_layer.scale_shift_table"}


@pytest.mark.parametrize("model", LORA_CONVERTERS)
def test_rows_go_where_diffusers_own_lora_converter_puts_them(model):
    kind, known = LORA_CONVERTERS[model]
    with torch.device("cpu"):
        native = {}
        for name, rows in marked(TREES[model]).items():
            if re.match(known, name):
                native[f"diffusion_model.{name}.lora_A.weight"] = torch.ones(1, 1, dtype=torch.float64)
                native[f"diffusion_model.{name}.lora_B.weight"] = rows
        if kind == "ace_step":
            native = {name.replace("diffusion_model.", "base_model.model."): value for name, value in native.items()}
        real = getattr(lora_conversion_utils, f"_convert_non_diffusers_{kind}_lora_to_diffusers")(native)
        expected = {f"transformer.{name}": rows for name, rows in spelled(model, known).items()}
    assert {name.removesuffix(".lora_A.weight") for name in real if ".lora_A." in name} == expected.keys()
    ups = {name.removesuffix(".lora_B.weight"): value for name, value in real.items() if ".lora_B." in name}
    assert ups.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(ups[name], expected[name])] == []


@pytest.mark.parametrize("model", sorted(SAME_NAMES))
def test_a_table_that_says_the_names_of_diffusers_are_native_changes_nothing(model):
    changed = [m.native for m in TREES[model].modules.values() if m.parts != (Part(m.native),)]
    assert changed == []


def test_rows_of_every_model_are_compared_with_a_converter_or_say_why_not():
    compared = {*CONVERTED, *LORA_CONVERTERS, *UNETS, *SAME_NAMES}
    assert compared | set(UNCONVERTED) == set(TREES)
    assert not compared & set(UNCONVERTED)
    assert {model.partition("/")[0] for model in CONVERTED} == set(CONVERTERS)


@pytest.mark.parametrize("family_id", UNETS)
def test_unet_names_go_where_diffusers_own_converter_puts_them(family_id):
    """Nothing is fused or reordered: a mark for each weight and each bias."""
    with torch.device("cpu"):
        native, expected = {}, {}
        for number, module in enumerate(family(family_id).trees[""].modules.values(), 1):
            assert [part.rows for part in module.parts] == [None]
            for leaf, sign in (("weight", 1.0), ("bias", -1.0)):
                if leaf == "weight" or module.bias:
                    native[f"model.diffusion_model.{module.native}.{leaf}"] = torch.tensor(sign * number)
                    expected[f"{module.parts[0].name}.{leaf}"] = sign * number
        config = {"layers_per_block": 2, **UNETS[family_id]}
        converted = single_file_utils.convert_ldm_unet_checkpoint(native, config)
    assert {name: value.item() for name, value in converted.items()} == expected


def test_a_table_that_does_not_add_up_is_refused():
    with pytest.raises(AssertionError, match="rows"):
        tree("one", "fused {a,b} 10x4 rows=4+4")


@pytest.mark.parametrize(("line", "names", "rows"), [
    ("x = 6x2", ["x"], [None]),
    ("x {a,b,c} 6x2", ["a", "b", "c"], [((0, 2),), ((2, 4),), ((4, 6),)]),
    ("x {a,b} 6x2 rows=1+5", ["a", "b"], [((0, 1),), ((1, 6),)]),
    ("x y 6x2 swap bias", ["y"], [((3, 6), (0, 3))]),
    ("b.N.x c.N.{p,q} 6x2 N=4", ["c.4.p", "c.4.q"], [((0, 3),), ((3, 6),)]),
])
def test_a_line_of_a_table_says_parts_and_rows(line, names, rows):
    (module,) = tree("one", line).modules.values()
    assert [p.name for p in module.parts] == names
    assert [p.rows for p in module.parts] == rows
    assert module.bias == ("bias" in line)


def test_a_line_with_numbers_is_one_module_for_each():
    assert list(tree("one", "b.N.x = 6x2 N=2-4").modules) == ["b.2.x", "b.3.x", "b.4.x"]


def test_the_index_file_is_current():
    assert Path(index.PATH).read_text(encoding="utf-8") == index.text(), "run python -m loratool.naming.index"


def test_the_index_lists_every_name_with_its_shape_under_its_network():
    table = index.load()["patterns"]
    for network_id, network in [*TREES.items(), *((t, encoder_tree(t)) for t in NETWORKS)]:
        for name, (shape, _) in of_tree(network).items():
            pattern = re.sub(r"(?<=_)[0-9]+(?=_|$)", "#", name.replace(".", "_"))
            assert [shape[0], int(np.prod(shape[1:]))] in table[pattern][network_id], (network_id, name)
