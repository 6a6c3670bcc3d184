"""A comparison: what is compared and how, and which runs are done, kept and done again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_model import MODEL

from medslip_core.comparison import reading, study
from medslip_core.comparison.answers import COLUMNS, answers
from medslip_core.comparison.compare import compare, holm
from medslip_core.comparison.finetuned import finetuned_answers
from medslip_core.comparison.params import ComparisonParams
from medslip_core.comparison.study import Study
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.corpus import PreparedCorpus
from medslip_core.finetune import fractions
from medslip_core.finetune.grid import cells
from medslip_core.finetune.initial import architecture
from medslip_core.grounding.maps import attention_maps
from medslip_core.grounding.scores import score
from medslip_core.grounding.truth import questions_of
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.parameters import ParameterError
from medslip_core.pretrain import ParametersChangedError
from medslip_core.zero_shot import evaluate, predict_split
from pipeline.parameters import declared_parameters, read_parameters

PRETRAINING = dict(epochs=2, batch_size=8, warmup_epochs=0.5, text_encoder="packaged-minilm", model=dict(MODEL))
VARIANTS = {"full": {}, "without ICL": {"icl_weight": 0.0}}


def table(scores: np.ndarray, truth: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Answers about one class, in an order of their own."""
    rows = np.arange(len(scores))
    told = pd.DataFrame(dict(figure="AUROC, a", protocol="zero-shot", metric="auroc", label="x", row=rows,
                             patient=(rows // 2).astype(str), truth=truth, score=scores))  # fmt: skip
    return told.sample(frac=1, random_state=seed)


@pytest.fixture
def asked() -> dict[str, list[pd.DataFrame]]:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 200).astype(float)
    good = truth + draw.normal(0, 0.8, 200)
    return {"full": [table(good, truth)], "same": [table(good, truth, seed=1)],
            "noisy": [table(good + draw.normal(0, 0.1, 200), truth)],
            "guess": [table(draw.normal(0, 1, 200), truth)]}  # fmt: skip


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0] and len(holm(np.array([]))) == 0


def test_a_worse_variant_is_below_and_the_same_one_is_not(asked) -> None:
    result = compare(asked, resamples=500).set_index("variant")
    assert result.loc["same", "difference"] == 0 and result.loc["same", "p"] == 1
    assert np.isnan(result.loc["full", ["p", "p_holm"]].astype(float)).all() and result.loc["full", "difference"] == 0
    guess = result.loc["guess"]
    assert guess["difference_high"] < 0 and guess["p_holm"] < 0.05
    assert guess["difference"] == pytest.approx(guess["value"] - result.loc["full", "value"])
    assert (result["n"] == 200).all() and (result["seeds"] == 1).all()


def test_the_difference_is_paired(asked) -> None:
    """What makes images hard for both cancels: the difference is known better than either figure."""
    noisy = compare(asked, resamples=500).set_index("variant").loc["noisy"]
    assert noisy["difference_high"] - noisy["difference_low"] < (noisy["high"] - noisy["low"]) / 3


def test_seeds_are_averaged_and_told_apart(asked) -> None:
    seeds = {"full": asked["full"] * 2, "mixed": [*asked["same"], *asked["guess"]], "guess": asked["guess"] * 2}
    both = compare(seeds, resamples=50)
    mixed = both.iloc[1]
    assert mixed["difference_most"] == 0 and mixed["difference_least"] == pytest.approx(2 * mixed["difference"])
    assert reading.is_certain(both).tolist() == [False, False, True]  # one seed alone does not make a difference
    alone = compare(asked, resamples=20).set_index("variant")["value"]
    assert both["value"].iloc[1] == pytest.approx((alone["same"] + alone["guess"]) / 2) and both["seeds"].iloc[1] == 2


def test_variants_asked_otherwise_are_refused(asked) -> None:
    asked["guess"][0] = asked["guess"][0].iloc[1:]
    with pytest.raises(ValueError, match="AUROC, a: 'guess' was not asked the same"):
        compare(asked)
    with pytest.raises(ValueError, match="AUROC, a: the variants were not trained with the same seeds"):
        compare({"full": asked["full"], "same": asked["same"] * 2})


def test_a_variant_that_was_not_asked_has_no_row_and_a_dash(asked) -> None:
    more = {name: [seed, seed.assign(figure="AUROC, b")] for name, (seed,) in asked.items()}
    both = {name: [pd.concat(seeds)] for name, seeds in more.items()}
    both["same"] = asked["same"]
    result = compare(both, resamples=20)
    assert result.loc[result["figure"] == "AUROC, b", "variant"].tolist() == ["full", "noisy", "guess"]
    wide = reading.differences(result).set_index("variant")
    assert wide.loc["same", "AUROC, b"] == "–" != wide.loc["same", "AUROC, a"]


def test_no_answers_give_an_empty_table() -> None:
    assert compare({}).empty


def test_what_is_asked_with_labels_reads_apart(asked) -> None:
    labelled = {name: pd.concat([seed, *(
        seed.assign(figure=f"AUROC, b, linear, {share} % of labels", protocol="linear") for share in (1, 10)
    )]) for name, (seed,) in asked.items()}  # fmt: skip
    labelled["guess"] = asked["guess"][0]
    result = compare({name: [seed] for name, seed in labelled.items()}, resamples=5)
    assert set(reading.zero_shot(result, ["same", "guess"])["figure"]) == {"AUROC, a"}
    assert reading.zero_shot(result, [])["figure"].tolist() == [], "nothing to compare with"
    ((learned, part),) = reading.finetuned(result, ["same", "guess"]).items()
    assert learned == "AUROC, b, linear" and set(part["variant"]) == {"full", "same"}
    assert list(reading.differences(part)) == ["variant", "1 % of labels", "10 % of labels"]
    assert reading.finetuned(result, ["guess"]) == {} == reading.finetuned(compare(asked, resamples=2), ["same"])


def test_how_it_reads(asked) -> None:
    result = compare(asked, resamples=500)
    wide = reading.differences(result)
    assert wide["variant"].tolist() == list(asked) and wide.loc[1, "AUROC, a"].endswith("(+0.000)")
    assert wide.loc[3, "AUROC, a"].endswith("*)") and "−" in wide.loc[3, "AUROC, a"]
    assert reading.in_words(result) == "- **AUROC, a**: below *full* beyond chance: guess."
    assert reading.options({"icl_weight": 0.0, "model": {"gated": False}}) == "icl_weight 0.0, model.gated False"
    assert "guess" in reading.forest_of_differences(result).alt


def params(corpus: Path, **changes: object) -> ComparisonParams:
    given = dict(pretraining_corpus=str(corpus), corpora={"nih": str(corpus)}, pretraining=PRETRAINING,
                 variants=VARIANTS, classification=["nih"], boxes={"nih": ["Effusion"]})  # fmt: skip
    return ComparisonParams.from_dict({**given, **changes})


def finetuned(corpus: Path) -> dict:
    """Both kinds of task, by the quick protocols."""
    steps = dict(min_steps=4, max_steps=4, validations=2, batch_size=8)
    return dict(
        corpora={"nih": str(corpus)}, protocols={"classification": ["linear"], "segmentation": ["frozen"]},
        tasks={"nih": {"corpus": "nih", "classes": ["Effusion"]},
               "outlines": {"corpus": "nih", "kind": "segmentation", "truth": "boxes", "label": "Effusion"}},
        fractions=[1.0], training={"classification": {"linear": steps}, "segmentation": {"frozen": steps}},
        device="cpu",
    )  # fmt: skip


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


def test_answers_give_the_figures_of_the_chapters(corpus) -> None:
    torch.manual_seed(0)
    model = MedslipModel(MedslipConfig(**MODEL)).eval()
    model.set_books(torch.randn(51, 8), torch.randn(75, 8), "random")
    opened, asked = PreparedCorpus.open(corpus), params(corpus)
    told = answers(model, {"nih": opened}, asked)
    assert list(told.columns) == COLUMNS
    result = compare({"full": [told], "again": [told]}, resamples=20).set_index(["figure", "variant"])["value"]
    test, validation = predict_split(model, opened, "test"), predict_split(model, opened, "validate")
    zero_shot = evaluate(test, validation, resamples=2)
    expected = zero_shot[(zero_shot["metric"] == "auroc") & (zero_shot["class"] == "macro")]["value"].item()
    assert result["AUROC, NIH ChestX-ray14", "full"] == pytest.approx(expected)

    one = questions_of(opened, "boxes", ["Effusion"])[0]
    maps = [attention_maps(model, opened, truth.rows).pathology("effusion")
            for truth in (one.test, one.validation)]  # fmt: skip
    scored = score("pathology", maps[0], one.test, maps[1], one.validation)
    assert result["pointing, NIH ChestX-ray14 boxes", "full"] == pytest.approx(scored["pointing_game"].mean())


def saved(folder: Path, method: str) -> Path:
    """A model of MODEL's trunk, drawn at random."""
    torch.manual_seed(0)
    if method == "medslip":
        model = MedslipModel(MedslipConfig(**MODEL))
    else:
        trunk = {name: MODEL[name] for name in ("backbone", "image_size")}
        model = ContrastiveModel(ContrastiveConfig(**trunk, method=method, text_encoder="packaged-minilm"))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["medslip", "gloria"])
def test_fine_tuned_answers_give_the_figures_of_the_grid(corpus, tmp_path: Path, method: str) -> None:
    model = saved(tmp_path / "model", method)
    asked = params(corpus, finetuned=finetuned(corpus)).grid("full", [2], model)
    told = finetuned_answers(asked, tmp_path / "runs")
    assert list(told.columns) == COLUMNS
    result = compare({"one": [told], "again": [told]}, resamples=20).set_index(["figure", "variant"])
    expected = pd.read_csv(tmp_path / "runs" / "results.csv")
    assert set(expected["seed"]) == {2}
    for figure, protocol, metric in (
        ("AUROC, NIH ChestX-ray14, linear, 100 % of labels", "linear", "auroc"),
        ("Dice of positives, NIH ChestX-ray14, frozen, 100 % of labels", "frozen", "dice_positives"),
    ):
        (row,) = expected[expected["metric"] == metric].to_dict("records")
        assert result.loc[(figure, "one"), "value"] == pytest.approx(row["value"])
        assert result.loc[(figure, "one"), ["protocol", "n"]].tolist() == [protocol, row["n"]]


def test_a_contrasted_model_has_no_streams_to_fine_tune(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"]["nih"]["features"] = "streams"
    grid = params(corpus, finetuned=asked).grid("full", [0], saved(tmp_path / "model", "convirt"))
    with pytest.raises(ValueError, match="a ContrastiveModel has no streams; take those of its trunk"):
        finetuned_answers(grid, tmp_path / "runs")


def test_tasks_that_share_dataset_and_kind_are_named(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"] |= {"all_but_one": asked["tasks"]["nih"]}
    grid = params(corpus, finetuned=asked).grid("full", [0], saved(tmp_path / "model", "medslip"))
    assert finetuned_answers(grid, tmp_path / "runs")["figure"].unique().tolist() == [
        "AUROC, NIH ChestX-ray14 (nih), linear, 100 % of labels",
        "Dice of positives, NIH ChestX-ray14, frozen, 100 % of labels",
        "AUROC, NIH ChestX-ray14 (all but one), linear, 100 % of labels",
    ]


def test_a_trunk_is_known_where_a_profile_names_no_option_of_it(corpus) -> None:
    published = params(corpus, pretraining={"epochs": 2, "warmup_epochs": 0.5}, finetuned=finetuned(corpus))
    for variants in ({"full": {}, "other": {}}, {"full": {"method": "mgca"}, "other": {}}):
        model = replace(published, variants=variants).grid("full", [0, 1], "random").model
        assert (model["backbone"], model["image_size"]) == ("resnet50", 224)
        assert architecture({"one": "random"}, model).backbone == "resnet50"


def test_what_cannot_be_fine_tuned_is_known_before_training(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"]["outlines"]["label"] = "Mass"
    with pytest.raises(ValueError, match="no boxes of 'Mass'"):
        Study(params(corpus, finetuned=asked), tmp_path)
    with pytest.raises(fractions.SplitError, match="nih: "):
        Study(params(corpus, finetuned={**finetuned(corpus), "fractions": [1e-9]}), tmp_path)


REPOSITORY = Path(__file__).resolve().parents[3]
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


def test_anatomies_are_asked_of_those_who_learned_them(corpus) -> None:
    asked, corpora = params(corpus, classification=[], boxes={}, anatomy_corpus="nih"), {"nih": "not looked at"}
    told = answers("not asked", corpora, asked, learned_anatomies=False)
    assert told.empty and list(told.columns) == COLUMNS


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for training and asking, and notes what was trained."""
    done: list[str] = []

    def pretrain(params, corpus, folder, resume=True):  # noqa: ANN001, ANN202
        if resume and (folder / "begun").exists():
            raise ParametersChangedError("icl_weight: was 1.0")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "begun").touch()
        done.append(f"{params.icl_weight:g}" + ("" if resume else " anew"))
        (folder / "model").mkdir()
        return SimpleNamespace(model_folder=folder / "model", history=pd.DataFrame({"step": [1]}))

    monkeypatch.setattr(study, "pretrain", pretrain)
    monkeypatch.setattr(study, "load_model", lambda folder: torch.nn.Identity())
    monkeypatch.setattr(study, "answers", lambda *asked: table(np.arange(4.0), np.array([0.0, 1, 0, 1])))
    return done


def test_what_is_finished_is_not_trained_again(corpus, tmp_path: Path, trained) -> None:
    first = Study(params(corpus), tmp_path)
    assert first.comparison().empty
    first.run(first.cells[1:])
    assert first.comparison().empty, "nothing to compare with yet"
    first.run()
    assert trained == ["0", "1"] and first.comparison(resamples=10)["variant"].tolist() == list(VARIANTS)
    first.run()
    assert len(trained) == 2
    result = json.loads((tmp_path / "cells" / "full-seed0" / "result.json").read_text())
    assert result["identity"]["training"]["params"]["icl_weight"] == 1.0
    assert sorted(file.name for file in (tmp_path / "cells" / "full-seed0").iterdir()) == [
        "answers.parquet", "history.csv", "model", "result.json", "training.json",
    ]  # fmt: skip

    other = Study(params(corpus, boxes={}), tmp_path)
    assert other.comparison().empty
    other.run()
    assert len(trained) == 2 and not other.comparison(resamples=2).empty, "asked something else, the models are there"
    shutil.rmtree(tmp_path / "cells" / "full-seed0" / "model")
    assert other.is_finished(other.cells[0]) and not other.is_trained(other.cells[0])

    longer = Study(params(corpus, pretraining={**PRETRAINING, "epochs": 3}), tmp_path)
    assert longer.comparison().empty
    longer.run()
    assert len(trained) == 4


def test_answers_after_fine_tuning_stand_with_the_others(corpus, tmp_path: Path, trained, monkeypatch) -> None:
    def told(grid, folder):  # noqa: ANN001, ANN202
        folder.mkdir()
        return table(np.arange(4.0), np.array([0.0, 1, 1, 1])).assign(figure=f"AUROC, b, seed {grid.seeds[0]}")

    monkeypatch.setattr(study, "finetuned_answers", told)
    split, table_of_split = tmp_path / "split.csv", PreparedCorpus.open(corpus).manifest[["image_id", "split"]]
    table_of_split.to_csv(split, index=False)
    labels = finetuned(corpus)
    labels["tasks"]["nih"]["split"] = str(split)
    asked = params(corpus, finetuned=labels, seeds=[5])
    (tmp_path / "here").mkdir()
    asked.write(tmp_path / "here" / "study.json")
    one = Study(asked, tmp_path / "here")
    one.run()
    assert one.comparison(resamples=5)["figure"].unique().tolist() == ["AUROC, a", "AUROC, b, seed 5"]
    assert not (tmp_path / "here" / "cells" / "full-seed5" / "finetuning").exists()

    again = Study(ComparisonParams.read(tmp_path / "here" / "study.json"), tmp_path / "here")
    assert again.params != asked and all(map(again.is_finished, one.cells)), "paths make no difference"
    fewer = replace(asked, finetuned={**labels, "fractions": [0.5]})
    assert not any(map(Study(fewer, tmp_path / "here").is_finished, one.cells))
    table_of_split[1:].to_csv(split, index=False)
    split_anew = Study(asked, tmp_path / "here")
    assert not any(map(split_anew.is_finished, one.cells)) and all(map(split_anew.is_trained, one.cells))
    assert not any(map(split_anew.is_trained, Study(replace(asked, seeds=[6]), tmp_path / "here").cells))
    table_of_split.to_csv(split, index=False)
    monkeypatch.setattr("medslip_core.finetune.grid.VERSION", -1)
    assert not any(map(Study(asked, tmp_path / "here").is_finished, one.cells)), "a run does something else now"


def test_a_run_begun_with_other_parameters_starts_anew(corpus, tmp_path: Path, trained) -> None:
    one = Study(params(corpus), tmp_path)
    (tmp_path / "cells" / "full-seed0" / "pretraining").mkdir(parents=True)
    (tmp_path / "cells" / "full-seed0" / "pretraining" / "begun").touch()
    one.run(one.cells[:1])
    assert trained == ["1 anew"]


def test_the_command_runs_a_share_and_writes_a_summary(corpus, tmp_path: Path, trained, capsys) -> None:
    params(corpus).write(tmp_path / "study.json")
    study.main(["--params", str(tmp_path / "study.json"), "--share", "2/2"])
    assert trained == ["0"]
    study.main(["--params", str(tmp_path / "study.json"), "--summary", str(tmp_path / "summary.json")])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [row["variant"] for row in summary["rows"]] == list(VARIANTS) and summary["rows"][0]["p"] is None
    assert list(summary) == ["command", "pretraining", "rows", "environment"]
    with pytest.raises(SystemExit):
        study.main(["--params", str(tmp_path / "study.json"), "--share", "3/2"])
    assert "share: '3/2' is not k/n" in capsys.readouterr().err
