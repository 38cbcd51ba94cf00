"""The family tables against the classes and converters of diffusers and transformers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_unet_checkpoint,
)

from loratool.naming import index
from loratool.naming.families import FAMILIES, TREES, encoder_tree, family
from loratool.naming.family import Tree, tree
from tests.models import ENCODERS, UNETS


def of_class(model: torch.nn.Module) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Name -> (shape of the weight, has a bias), of every Linear and Conv2d."""
    return {name: (tuple(m.weight.shape), m.bias is not None) for name, m in model.named_modules()
            if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))}


def of_tree(network: Tree) -> dict[str, tuple[tuple[int, ...], bool]]:
    """The same of the diffusers side of a table; a name may occur once."""
    found: dict[str, tuple[tuple[int, ...], bool]] = {}
    for module in network.modules.values():
        for part in module.parts:
            out = module.shape[0] if part.rows is None else sum(end - begin for begin, end in part.rows)
            assert part.name not in found, f"{part.name} is in the table twice"
            found[part.name] = ((out, *module.shape[1:]), module.bias)
    return found


def marked(modules_, columns: int = 1) -> dict[str, torch.Tensor]:
    """Native weight -> its rows, each holding a number that no other row of the model holds."""
    found, begin = {}, 1
    for module in modules_:
        rows = torch.arange(begin, begin + module.shape[0], dtype=torch.float64)
        found[module.native] = rows.reshape(-1, columns)
        begin += module.shape[0]
    return found


@pytest.fixture(scope="module", autouse=True)
def on_meta():
    """Classes have names and shapes, and no weights."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("family_id", UNETS)
def test_unet_names_shapes_and_biases_are_those_of_the_diffusers_class(family_id):
    assert of_tree(family(family_id).tree) == of_class(UNet2DConditionModel(**UNETS[family_id]))


@pytest.mark.parametrize("variant", ["dev", "kontext", "krea", "schnell", "fill", "canny", "depth"])
def test_each_flux_variant_is_the_class_with_its_configuration(variant):
    """in_channels and guidance_embeds of the published transformer/config.json."""
    in_channels = {"fill": 384, "canny": 128, "depth": 128}.get(variant, 64)
    real = of_class(FluxTransformer2DModel(in_channels=in_channels, out_channels=64,
                                           guidance_embeds=variant != "schnell"))
    flux = family("flux1")
    changed = flux.variants[variant]
    own = {name: ((out, *changed[native][1:]) if changed.get(native) else (out, *rest), bias)
           for native, module in flux.tree.modules.items() if changed.get(native, ()) is not None
           for name, ((out, *rest), bias) in of_tree(Tree("one", {native: module})).items()}
    assert own == real


def test_flux_has_no_other_variants_than_the_tested_ones():
    assert set(family("flux1").variants) == {"dev", "kontext", "krea", "schnell", "fill", "canny", "depth"}


@pytest.mark.parametrize("tree_id", ENCODERS)
def test_encoder_names_shapes_and_biases_are_those_of_the_transformers_class(tree_id):
    """transformers 5 leaves out ``text_model.`` in CLIPTextModel, files have it."""
    real = of_class(ENCODERS[tree_id]())
    if tree_id in ("clip-l", "openclip-h"):
        real = {name if name.startswith("text_model.") else "text_model." + name: v for name, v in real.items()}
    assert of_tree(encoder_tree(tree_id)) == real


def test_every_table_of_the_program_is_compared_with_a_class():
    assert set(FAMILIES) == {*UNETS, "flux1"}
    assert set(TREES) == set(ENCODERS)
    assert {e.tree for f in FAMILIES for e in family(f).encoders.values()} == set(TREES)


@pytest.mark.parametrize("network", [family(f).tree for f in FAMILIES] + [encoder_tree(t) for t in TREES],
                         ids=[*FAMILIES, *TREES])
def test_every_native_row_is_in_exactly_one_part(network):
    for module in network.modules.values():
        out = module.shape[0]
        counted = np.zeros(out, np.int64)
        for part in module.parts:
            for begin, end in part.rows or ((0, out),):
                assert 0 <= begin < end <= out, module.native
                counted[begin:end] += 1
        assert (counted == 1).all(), module.native


def test_only_the_final_modulation_of_flux_has_its_halves_swapped():
    swapped = [module.native for f in FAMILIES for module in family(f).tree.modules.values()
               for part in module.parts if part.rows and part.rows != tuple(sorted(part.rows))]
    assert swapped == ["final_layer.adaLN_modulation.1"]


@pytest.mark.parametrize("guidance", [True, False], ids=["dev", "schnell"])
def test_flux_rows_go_where_diffusers_own_converter_puts_them(guidance):
    with torch.device("cpu"):
        kept = [m for m in family("flux1").tree.modules.values() if guidance or not m.native.startswith("guidance_in")]
        weights = marked(kept)
        native = {f"{name}.weight": rows for name, rows in weights.items()}
        native |= {f"{name}.bias": rows[:, 0] for name, rows in weights.items()}
        norm = torch.zeros(1)
        for what in ("query_norm.scale", "key_norm.scale"):
            native |= {f"double_blocks.{n}.{s}_attn.norm.{what}": norm for n in range(19) for s in ("img", "txt")}
            native |= {f"single_blocks.{n}.norm.{what}": norm for n in range(38)}
        converted = convert_flux_transformer_checkpoint_to_diffusers(native)
    assert not native, "the converter read every native weight"
    real = {name: t.numpy() for name, t in converted.items() if "attn.norm_" not in name}
    expected = {}
    for module in kept:
        rows = weights[module.native].numpy()
        for part in module.parts:
            taken = rows if part.rows is None else np.concatenate([rows[begin:end] for begin, end in part.rows])
            expected |= {f"{part.name}.weight": taken, f"{part.name}.bias": taken[:, 0]}
    assert expected.keys() == real.keys()
    assert [name for name in real if not np.array_equal(real[name], expected[name])] == []


@pytest.mark.parametrize("family_id", UNETS)
def test_unet_names_go_where_diffusers_own_converter_puts_them(family_id):
    """Nothing is fused or reordered: a mark for each weight and each bias."""
    with torch.device("cpu"):
        native, expected = {}, {}
        for number, module in enumerate(family(family_id).tree.modules.values(), 1):
            assert [part.rows for part in module.parts] == [None]
            for leaf, sign in (("weight", 1.0), ("bias", -1.0)):
                if leaf == "weight" or module.bias:
                    native[f"model.diffusion_model.{module.native}.{leaf}"] = torch.tensor(sign * number)
                    expected[f"{module.parts[0].name}.{leaf}"] = sign * number
        config = {"layers_per_block": 2, **UNETS[family_id]}
        converted = convert_ldm_unet_checkpoint(native, config)
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
    for network in [family(f).tree for f in FAMILIES] + [encoder_tree(t) for t in TREES]:
        for name, (shape, _) in of_tree(network).items():
            trimmed = list(shape)
            while len(trimmed) > 2 and trimmed[-1] == 1:
                trimmed.pop()
            pattern = re.sub(r"[0-9]+", "#", name.replace(".", "_"))
            assert trimmed in table[pattern][network.id], (network.id, name)
