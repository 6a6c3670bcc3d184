"""What a comparison is asked for: wrong names, what a variant changes, files, and the chapter."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_comparison import PRETRAINING, finetuned, params

from medslip_core.comparison.params import ComparisonParams
from medslip_core.finetune.grid import cells
from medslip_core.finetune.initial import architecture
from medslip_core.parameters import ParameterError
from pipeline.parameters import declared_parameters, read_parameters


@pytest.mark.parametrize("changes, said", [
    ({"variants": {"full": {}}}, "variants: at least two"),
    ({"variants": {"full": {}, "x": {"icl_wait": 0.0}}}, "variants.x: icl_wait: unknown parameter"),
    ({"variants": {"full": {}, "x": {"model": {"gatd": False}}}}, "variants.x: model: gatd: unknown parameter"),
    ({"classification": ["rsna"]}, "'rsna' is asked about, and is none of the corpora"),
    ({"classification": [], "boxes": {}}, "nothing is asked"),
    ({"finetuned": {"fractions": [2]}}, "finetuned: fractions: .2. are not all in"),
    ({"finetuned": {"corpora": {"nih": "there"}, "tasks": {"nih": {"corpus": "nih", "features": "streams"}}},
      "variants": {"full": {}, "other": {"method": "convirt"}}}, "finetuned.tasks.nih: features: 'other' has no"),
    ({"seeds": [-1]}, "seeds: .-1. are not whole numbers"),
    ({"seeds": [0, 1, 0]}, "seeds: .0, 1, 0. names one twice"),
    ({"variants": {"no ICL": {}, "no-ICL": {}}}, "variants: 'no ICL' and 'no-ICL' would share one folder"),
    ({"finetuned": {"fractions": [1, 1.0]}}, "finetuned: fractions: .1, 1.0. names one twice"),
    ({"variants": {"full": {}, "b": "icl"}}, "variants.b: 'icl' is not a set of named values .PretrainParams."),
    ({"variants": {"full": {}, "b": {"model": ["gated"]}}}, r"variants.b: \['gated'\] is not a set of named values"),
    ({"variants": {"full": {}, 2: "icl"}}, "variants.2: 'icl' is not a set of named values"),
    ({"pretraining": {"model": "resnet50"}}, "variants.full: 'resnet50' is not a set of named values .model."),
    ({"finetuned": {"tasks": ["nih"]}}, r"finetuned: tasks: \['nih'\] is list, not dict"),
    ({"finetuned": {"tasks": {"nih": "nih"}}}, "finetuned: tasks.nih: 'nih' is not a set of named values"),
    ({"boxes": {"nih": "Effusion"}}, "boxes.nih: 'Effusion' is not a list of classes"),
    ({"classes": {"nih": ["Effusion"]}}, r"classes.nih: \['Effusion'\] is not a set of named values"),
    ({"classification": [["nih"]]}, r"nih.*is asked about, and is none of the corpora"),
    ({"corpora": {"nih": None}}, "corpora.nih: None is not a folder"),
])  # fmt: skip
def test_wrong_parameters_are_named(changes: dict, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        params(Path("somewhere"), **changes)


def test_a_variant_changes_only_what_it_names() -> None:
    asked = params(Path("somewhere"), variants={"full": {}, "x": {"model": {"gated": False}, "icl_weight": 0.0}})
    full, changed = asked.run("full", 3), asked.run("x", 3)
    assert changed == replace(full, icl_weight=0.0, model={**full.model, "gated": False})


def test_another_model_takes_of_the_shared_options_those_of_the_trunk() -> None:
    variants = {"full": {}, "other": {"method": "mgca", "model": {"prototypes": 7}}}
    other = params(Path("somewhere"), variants=variants).run("other", 3)
    assert other.model == {"backbone": "test_resnet", "image_size": 32, "prototypes": 7} and other.method == "mgca"
    assert other.epochs == PRETRAINING["epochs"] and other.seed == 3


def test_params_move_with_their_folder(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    asked = params(tmp_path / "corpus", finetuned=finetuned(tmp_path / "labelled"))
    asked.write(tmp_path / "here" / "study.json")
    assert str(tmp_path) not in (tmp_path / "here" / "study.json").read_text()
    again = ComparisonParams.read(tmp_path / "here" / "study.json")
    assert Path(again.pretraining_corpus).resolve() == tmp_path / "corpus" and again.variants == asked.variants
    assert Path(again.finetuned["corpora"]["nih"]).resolve() == tmp_path / "labelled"


def test_a_trunk_is_known_where_a_profile_names_no_option_of_it() -> None:
    somewhere = Path("somewhere")
    published = params(somewhere, pretraining={"epochs": 2, "warmup_epochs": 0.5}, finetuned=finetuned(somewhere))
    for variants in ({"full": {}, "other": {}}, {"full": {"method": "mgca"}, "other": {}}):
        model = replace(published, variants=variants).grid("full", [0, 1], "random").model
        assert (model["backbone"], model["image_size"]) == ("resnet50", 224)
        assert architecture({"one": "random"}, model).backbone == "resnet50"


REPOSITORY = Path(__file__).resolve().parents[4]
PROFILES = [None, *sorted(folder.name for folder in (REPOSITORY / "params").iterdir())]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_chapter_s_parameters_make_a_study(profile: str | None) -> None:
    def values(chapter: str) -> dict:
        declared = declared_parameters(REPOSITORY / "book" / f"{chapter}.ipynb")
        given = read_parameters(REPOSITORY / "params" / str(profile) / f"{chapter}.yaml", declared, data="data")
        return {name: one.default for name, one in declared.items()} | given

    shared, labelled, own = values("pretraining"), values("finetuning"), values("comparison")
    grid = {name: labelled[name] for name in ("tasks", "protocols", "fractions", "training", "device")}
    grid |= {"corpora": {name: name for name in labelled["datasets"]}, **own["finetuned"]}
    asked = ComparisonParams.from_dict(dict(
        pretraining={**shared["training"], "model": shared["model"], "text_encoder": shared["text_encoder"],
                     **own["budget"]},
        variants={**own["variants"], **own["models"]}, seeds=own["seeds"], finetuned=grid,
    ))  # fmt: skip
    for variant in asked.variants:
        grid = asked.grid(variant, asked.seeds, "random")
        assert cells(grid) and architecture(grid.weights, grid.model).backbone
