"""A grid of runs on a tiny corpus: what it learns, writes, takes up again, and refuses."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny_model import MODEL

from medslip_core import vocabulary
from medslip_core.cells import share_of
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.corpus import CorpusError
from medslip_core.finetune import compare, fractions, grid, results
from medslip_core.finetune.classifier import PooledFeatures
from medslip_core.finetune.finetuned import NETWORK, load_finetuned
from medslip_core.finetune.learners import FeatureClassifier
from medslip_core.finetune.params import FinetuneParams, GridParams
from medslip_core.finetune.summary import compared_weights
from medslip_core.finetune.training import fit
from medslip_core.finetune.without_labels import zero_shot_cases
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.parameters import ParameterError
from medslip_core.run_lock import RunFolderTakenError, run_lock
from medslip_core.zero_shot import predict_split
from pipeline.parameters import declared_parameters, read_parameters

STEPS = dict(min_steps=12, max_steps=12, validations=3, patience=0, batch_size=8, augment={"crop_scale": [0.9, 1.0]})
TRAINING = {
    "classification": {"linear": {**STEPS, "learning_rate": 0.1}, "full": STEPS},
    "segmentation": {"frozen": {**STEPS, "learning_rate": 0.01}, "full": STEPS},
}


def params(corpus: Path, **changes) -> GridParams:
    given = dict(
        corpora={"nih": str(corpus)}, weights={"random": "random"}, model=MODEL,
        tasks={"effusion": {"corpus": "nih", "classes": ["Effusion"]},
               "boxes": {"corpus": "nih", "kind": "segmentation", "truth": "boxes", "label": "Effusion"}},
        fractions=[0.2, 1.0], seeds=[0], training=TRAINING, resamples=20, device="cpu",
    )  # fmt: skip
    return GridParams.from_dict({**given, **changes})


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> grid.Grid:
    study = grid.Grid(params(corpus), tmp_path_factory.mktemp("grid"))
    study.run()
    return study


def test_every_cell_has_its_rows(finished):
    runs = finished.finished()
    assert [run.folder.name for run in runs] == [cell.name for cell in finished.cells] and len(runs) == 8
    table = results.collect(runs)
    assert list(table.columns) == results.COLUMNS
    assert not table[[*results.CASE, "seed", "metric", "split", "weights_sha256"]].isna().any().any()
    assert set(table.loc[table["kind"] == "segmentation", "metric"]) == {
        "dice_all", "dice_positives", "iou_all", "iou_positives"
    }  # fmt: skip
    assert {"auroc", "average_precision", "f1", "accuracy", "ece"} <= set(table["metric"])
    written = pd.read_csv(finished.folder / "results.csv")
    np.testing.assert_allclose(written["value"], table["value"].astype(float))


def test_the_split_of_a_row_is_a_file_with_that_hash(finished):
    for run in finished.finished():
        told = run.table.iloc[0]
        path = finished.folder / "splits" / f"{told['task']}-{told['fraction']:g}-seed0.csv"
        assert set(run.table["split"]) == {hashlib.sha256(path.read_bytes()).hexdigest()}
        split = pd.read_csv(path, dtype=str)["split"].value_counts()
        assert split["train"] == told["train_images"]


def test_an_easy_finding_is_learned_and_the_frozen_trunk_stays(corpus, finished):
    summary = compare.over_seeds(compare.cases(finished.finished(), resamples=20))
    auroc = summary[(summary["metric"] == "auroc") & (summary["fraction"] == 1)]
    assert (auroc["value"] > 0.9).all(), auroc[["protocol", "value"]]
    cell = next(one for one in finished.cells if one.task == "boxes" and one.protocol == "frozen")
    learner = finished.learner(cell, finished.tasks["boxes"], finished.split(cell))
    learner.training_mode()
    assert not learner.network.trunk.training and learner.network.blocks.training
    learner.loss(finished.split(cell).rows("train")[:4], 0).backward()
    assert all(p.grad is None for p in learner.network.trunk.parameters())
    assert all(p.grad is not None for p in learner.network.blocks.parameters())


def test_batch_norm_is_frozen_only_where_it_has_statistics(corpus, saved_model, tmp_path):
    full = {"full": {**STEPS, "frozen_batch_norm": True}}
    training = {**TRAINING, "classification": {**TRAINING["classification"], **full}}
    weights = {"random": "random", "ours": str(saved_model)}
    study = grid.Grid(params(corpus, weights=weights, training=training), tmp_path)
    for cell in study.cells:
        if cell.task == "effusion" and cell.protocol == "full":
            learner = study.learner(cell, study.tasks[cell.task], study.split(cell))
            learner.training_mode()
            norms = [one for one in learner.network.trunk.modules() if isinstance(one, torch.nn.BatchNorm2d)]
            assert norms and {one.training for one in norms} == {cell.weights == "random"}
            assert study.identity(cell)["training"]["frozen_batch_norm"] == (cell.weights == "ours")


def test_finished_cells_are_not_run_again_and_changed_ones_are(corpus, finished, monkeypatch):
    ran = []
    monkeypatch.setattr(grid.Grid, "run_cell", lambda self, cell: ran.append(cell.name))
    finished.run()
    assert ran == []
    changed = {**TRAINING, "classification": {"linear": {**STEPS, "learning_rate": 0.2}, "full": STEPS}}
    grid.Grid(params(corpus, training=changed), finished.folder).run()
    assert ran == ["effusion-linear-0.2-random-seed0", "effusion-linear-1-random-seed0"]


def test_features_and_results_are_of_the_options_they_were_made_with(corpus, finished):
    """Another normalisation of grey levels leaves all weights as they are, and changes every feature."""
    other = grid.Grid(params(corpus, model={**MODEL, "image_mean": [0.2, 0.2, 0.2]}), finished.folder)
    assert other.finished() == []
    cell, task = finished.cells[0], finished.tasks["effusion"]
    ours, theirs = (one.features(cell, task, one.model("random", 0)) for one in (finished, other))
    assert ours.shape == theirs.shape and not np.allclose(ours, theirs)


@pytest.mark.parametrize("features", ["trunk", "streams"])
def test_a_network_that_is_kept_answers_as_its_run_did(corpus, saved_model, tmp_path, features):
    tasks = {"effusion": {"corpus": "nih", "classes": ["Effusion"], "features": features}}
    if features == "trunk":
        tasks["boxes"] = {"corpus": "nih", "kind": "segmentation", "truth": "boxes", "label": "Effusion"}
    asked = dict(tasks=tasks, weights={"ours": str(saved_model)}, model={}, fractions=[1.0])
    plain = grid.Grid(params(corpus, **asked), tmp_path)
    plain.run()
    with pytest.raises(FileNotFoundError, match="no network was kept; run its grid with keep_models"):
        load_finetuned(plain.folder_of(plain.cells[0]))
    study = grid.Grid(params(corpus, keep_models=True, **asked), tmp_path)
    assert study.identity(study.cells[0]) == plain.identity(plain.cells[0]) and study.finished() == []
    study.run(study.cells[:1])
    with pytest.raises(FileNotFoundError, match=f"no network was kept; there are cells/{study.cells[0].name} in it"):
        load_finetuned(tmp_path)
    for cell, run in zip(study.cells, study.run(), strict=True):
        kept, images = load_finetuned(study.folder_of(cell)), study.corpora["nih"]
        if cell.task == "boxes":
            rows = study.split(cell).rows("test")
            learner = study.learner(cell, study.tasks["boxes"], study.split(cell))
            assert kept.predict(images.take(rows)).shape == (len(rows), 32, 32)
            learner.network = kept.network
            best = grid.best_thresholds(learner.predictions(study.split(cell).rows("validate")))
            scores = grid.score_masks(learner.predictions(rows), study.tasks["boxes"].patients, best)
            np.testing.assert_array_equal(scores.masks, results.mask_scores(run).masks)
        else:
            told = results.class_predictions(run)
            np.testing.assert_allclose(kept.predict(images.take(told.rows)), told.probabilities, atol=1e-5)
    plain.run_cell(plain.cells[0])
    assert not (plain.folder_of(plain.cells[0]) / NETWORK).exists(), "an older result's"


def test_a_damaged_network_is_named(tmp_path):
    (tmp_path / NETWORK).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=f"{NETWORK}: damaged"):
        load_finetuned(tmp_path)


def test_a_killed_cell_goes_on_to_the_same_result(corpus, finished, tmp_path, monkeypatch):
    study = grid.Grid(params(corpus), tmp_path)
    cell = study.cells[0]
    looks, original = [], FeatureClassifier.score

    def killed_at_the_second_look(self):
        looks.append(1)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(FeatureClassifier, "score", killed_at_the_second_look)
    with pytest.raises(KeyboardInterrupt):
        study.run([cell])
    assert study.finished() == []
    study.run([cell])
    assert len(looks) == 4, "the first look was not taken again"
    (one,) = study.finished()
    other = next(run for run in finished.finished() if run.folder.name == cell.name)
    assert one.history == other.history
    pd.testing.assert_frame_equal(one.table, other.table)


def test_a_run_killed_between_predictions_and_result_is_not_finished(finished, tmp_path, monkeypatch):
    run = finished.finished()[0]
    results.write_run(tmp_path, run.identity, run.table, run.history, {"x": np.zeros(1)})
    assert results.read_run(tmp_path) is not None
    write = results.write_whole

    def killed(path: Path, content: bytes) -> None:
        if path.name == results.RESULT:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(results, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        results.write_run(tmp_path, {}, run.table, run.history, {"x": np.ones(1)})
    assert results.read_run(tmp_path) is None, "the older result is not of these predictions"


def test_a_run_belongs_to_one_process(finished, tmp_path, monkeypatch):
    anew = grid.Grid(finished.params, tmp_path)
    monkeypatch.setattr(anew, "run_cell", lambda cell: None)
    with run_lock(anew.folder_of(anew.cells[0])), pytest.raises(RunFolderTakenError, match=anew.cells[0].name):
        anew.run(anew.cells[:1])


def test_machines_share_a_grid(finished):
    shares = [share_of(finished.cells, f"{k}/3") for k in (1, 2, 3)]
    assert sorted((cell for share in shares for cell in share), key=str) == sorted(finished.cells, key=str)
    with pytest.raises(ParameterError, match="k/n"):
        share_of(finished.cells, "4/3")


def test_weights_are_compared_on_the_same_patients(finished):
    """The same runs under another name differ by nothing, whatever the width of their own intervals."""
    found = compare.cases(finished.finished(), resamples=20)
    renamed = [replace(case, named={**case.named, "weights": "other"}) for case in found]
    of_all = compare.compare([*found, *renamed], "random", "other", ["brier", "dice_all"])
    assert len(of_all) == len(found) == 8 and set(of_all["apart"]) == {"no"}
    assert not of_all[["difference", "difference_low", "difference_high"]].to_numpy().any()
    summary = compare.over_seeds(found)
    told = summary[summary["metric"].isin(["brier", "dice_all"])]
    assert of_all["value"].tolist() == told["value"].tolist() and of_all["low"].tolist() == told["low"].tolist()
    few = compare.compare([*found, *renamed], "random", "other", ["auroc", "dice_positives"])
    assert len(few) == 8 and set(few["apart"]) == {"undefined"}, "only 6 test patients show an effusion"
    assert not few["difference"].any() and few[["low", "difference_low", "difference_high"]].isna().all(axis=None)


def test_a_class_that_could_not_be_learned_can_be_left_out_of_the_mean(finished, tmp_path):
    """A second class beside the run's own, foretold at random."""
    run = next(run for run in finished.finished() if run.table["kind"].iloc[0] == "classification")
    parts, draw = [], np.random.default_rng(0)
    for part in ("test", "validate"):
        one = results.class_predictions(run, part)
        guessed = np.hstack([one.probabilities, draw.random((len(one.rows), 1), np.float32)])
        parts.append(
            replace(one, classes=("Effusion", "Mass"), labels=np.hstack([one.labels] * 2), probabilities=guessed)
        )
    results.write_run(tmp_path, run.identity, run.table, run.history, results.packed_classes(*parts))
    both, held = results.read_run(tmp_path), grid.empty_cells(finished)
    effusion, mass = (roc_auc_score(parts[0].labels[:, c], parts[0].probabilities[:, c]) for c in (0, 1))
    mean = (effusion + mass) / 2
    assert abs(effusion - mass) > 0.1
    for empty, learnable in (
        ([], mean), (["Effusion"], mass), (["Mass"], effusion), (["Effusion", "Mass"], np.nan), (["Mass, left"], mean),
    ):  # fmt: skip
        told = held.assign(empty=[empty] * len(held))
        summary = compare.over_seeds(compare.cases([both], resamples=20, held=told))
        told = summary.set_index("metric")["value"]
        assert [told["auroc"], told["auroc_learnable"]] == pytest.approx([mean, learnable], nan_ok=True)
    summary = compare.over_seeds(compare.cases([both], resamples=20)).set_index("metric")["value"]
    assert summary["auroc_learnable"] == summary["auroc"], "where it is not told, all are taken"


@pytest.mark.parametrize("folder", ["runs", "linked"])
def test_parameters_travel_in_a_file(corpus, tmp_path, folder):
    (tmp_path / "runs").mkdir()
    (tmp_path / "other" / "disk").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "other" / "disk")
    asked = params(corpus, weights={"random": "random", "ours": str(tmp_path / "model")})
    asked.write(tmp_path / folder / "grid.json")
    assert str(corpus) not in (tmp_path / folder / "grid.json").read_text(), "paths are relative"
    again = GridParams.read(tmp_path / folder / "grid.json")
    assert Path(again.corpora["nih"]).resolve() == corpus.resolve()
    assert Path(again.weights["ours"]).resolve() == tmp_path / "model"
    assert again.tasks == json.loads(json.dumps(asked.tasks))


def test_a_damaged_file_of_parameters_is_named(tmp_path):
    for name, text in (("list", "[1]"), ("tasks", '{"tasks": ["nih"]}'), ("corpora", '{"corpora": {"nih": 3}}')):
        file = tmp_path / f"{name}.json"
        file.write_text(text)
        with pytest.raises(ParameterError, match="no named values" if name == "list" else f"{name}.*(list|no text)"):
            GridParams.read(file)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tasks": {"a": {"corpus": "nih", "classes": ["Gout"]}}}, CorpusError, r"no labels for \['Gout'\]"),
        ({"fractions": [0.001]}, fractions.SplitError, "effusion: 0.100% of .* is nobody: choose at least"),
        (
            {"tasks": {"a": {"corpus": "nih", "kind": "segmentation", "label": "mass"}}},
            ValueError,
            "no masks of 'mass'",
        ),
        ({"weights": {"ours": "nowhere"}}, FileNotFoundError, "nowhere: no saved model there"),
        ({"tasks": {"a": {"corpus": "rsna"}}}, ParameterError, r"corpus 'rsna' is none of \['nih'\]"),
        ({"protocols": {"classification": ["linaer"]}}, ParameterError, r"no \['linaer'\]; choose from"),
        ({"weights": {"a/b": "random"}}, ParameterError, "weights: 'a/b' is to name a folder: a text without '/'"),
        ({"weights": {1: "random"}}, ParameterError, "weights: 1 is to name a folder"),
        ({"weights": {"ours": Path("nowhere")}}, FileNotFoundError, "nowhere: no saved model there"),
        ({"fractions": [10]}, ParameterError, r"not all in \(0, 1\]"),
        ({"fractions": [1, 1.0]}, ParameterError, r"fractions: \[1, 1.0\] names one twice"),
        ({"seeds": []}, ParameterError, r"seeds: \[\] are not whole numbers"),
        ({"seeds": [0, 0]}, ParameterError, r"seeds: \[0, 0\] names one twice"),
        (
            {"tasks": {"a": {"corpus": "nih", "classes": ["Mass", "Mass"]}}},
            ParameterError,
            r"classes: \['Mass', 'Mass'\] names one twice",
        ),
        (
            {"training": {"classification": {"full": {"lr": 1.0}}}},
            ParameterError,
            "training.classification.full: lr: unk",
        ),
        ({"tasks": {"nih": "nih"}}, ParameterError, r"tasks.nih: 'nih' is not a set of named values \(TaskParams\)"),
        ({"tasks": ["nih"]}, ParameterError, r"tasks: \['nih'\] is list, not dict"),
        ({"tasks": {"a": {"corpus": ["nih"]}}}, ParameterError, r"tasks.a: corpus: \['nih'\] is list, not str"),
        ({"tasks": {"a": {"corpus": "nih", "classes": [["Mass"]]}}}, ParameterError, "classes: .* not all names"),
        (
            {"training": {"classification": ["linear"]}},
            ParameterError,
            r"training.classification: \['linear'\] is not a set of named values",
        ),
        (
            {"training": {"classification": {"linear": 3}}},
            ParameterError,
            r"training.classification.linear: 3 is not a set of named values \(FinetuneParams\)",
        ),
        ({"protocols": {"classification": "linear"}}, ParameterError, "classification: 'linear' is not a list of prot"),
        ({"protocols": {"classification": None}}, ParameterError, "classification: None is not a list of protocols"),
        ({"weights": ["random"]}, ParameterError, r"weights: \['random'\] is list, not dict"),
        ({"weights": {"random": None}}, ParameterError, "weights.random: None is no text"),
        ({"corpora": {"nih": 3}}, ParameterError, "corpora.nih: 3 is no text"),
    ],
)
def test_bad_input_ends_before_training(corpus, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        grid.Grid(params(corpus, **changes), tmp_path)


REPOSITORY = Path(__file__).resolve().parents[4]
PROFILES = [None, *sorted(path.parent.name for path in (REPOSITORY / "params").glob("*/finetuning.yaml"))]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_chapter_s_parameters_make_a_grid(profile):
    declared = declared_parameters(REPOSITORY / "book" / "finetuning.ipynb")
    values = {name: parameter.default for name, parameter in declared.items()}
    values |= read_parameters(REPOSITORY / "params" / str(profile) / "finetuning.yaml", declared, data="data")
    names = ("weights", "tasks", "protocols", "fractions", "seeds", "training", "model", "resamples", "device")
    asked = GridParams.from_dict(
        {"corpora": {name: name for name in values["datasets"]}, **{name: values[name] for name in names}}
    )
    assert {asked.task(cell.task).kind for cell in grid.cells(asked)} == {"classification", "segmentation"}
    if not values["in_chapter"]["protocols"]:
        return
    here = [cell for cell in grid.cells(asked) if cell.protocol in values["in_chapter"]["protocols"]]
    assert here and set(values["in_chapter"]["seeds"]) <= set(asked.seeds)


def test_a_summary_trains_nothing_and_names_what_is_missing(corpus, finished, tmp_path, monkeypatch, caplog):
    params(corpus).write(tmp_path / "grid.json")
    shutil.copytree(finished.folder / "cells", tmp_path / "cells")
    missing = finished.cells[1].name
    shutil.rmtree(tmp_path / "cells" / missing)
    monkeypatch.setattr(grid.Grid, "run_cell", lambda self, cell: pytest.fail("trained"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["grid.py", "--params", "grid.json", "--summary", "summary.json"])
    grid.main()
    told = json.loads(Path("summary.json").read_text())
    assert told["command"].endswith(" --params grid.json --summary summary.json")
    assert (told["runs"], told["runs_in_all"], told["missing"]) == (7, 8, [missing]) and missing in caplog.text
    assert {row["protocol"] for row in told["summary"]} == {"linear", "full", "frozen"}
    assert told["comparisons"] == told["zero_shot"] == [] and told["environment"]["python"]
    with pytest.raises(SystemExit):
        grid.main(["--params", "grid.json", "--summary", "summary.json", "--share", "1/2"])


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = MedslipModel(MedslipConfig(**MODEL))
    model.set_books(*(torch.randn_like(book) for book in (model.anatomy_book, model.pathology_book)), "drawn")
    model.save_pretrained(folder)
    return folder


def test_zero_shot_is_of_the_task_s_test_images_and_classes(corpus, saved_model, tmp_path):
    one_class = GridParams.from_dict(
        {**params(corpus).to_dict(), "weights": {"random": "random", "ours": str(saved_model)}}
    )
    study = grid.Grid(one_class, tmp_path)
    (case,) = zero_shot_cases(study, resamples=20)
    assert (case.named["task"], case.named["weights"], case.seeds) == ("effusion", "ours", ())
    task = study.tasks["effusion"]
    assert case.rows.tolist() == task.whole.rows("test").tolist()
    said = predict_split(MedslipModel.from_pretrained(saved_model).eval(), task.corpus, "test")
    place = said.classes.index("Effusion")
    expected = roc_auc_score(said.labels[:, place], said.probabilities[:, place])
    assert case.mean("auroc").value == pytest.approx(expected)
    assert compare.over_seeds([case])["train_patients"].tolist() == [0, 0]


def test_a_contrasted_model_is_fine_tuned_and_asked_too(corpus, tmp_path):
    torch.manual_seed(0)
    trunk = {name: MODEL[name] for name in ("backbone", "image_size")}
    config = ContrastiveConfig(**trunk, method="convirt", text_encoder="packaged-minilm")
    ContrastiveModel(config).save_pretrained(tmp_path / "model")
    weights = {"theirs": str(tmp_path / "model"), "random": "random"}
    study = grid.Grid(params(corpus, weights=weights, model={}), tmp_path)
    assert {name: getattr(study.config, name) for name in trunk} == trunk, "its trunk's architecture"
    cell = next(one for one in study.cells if one.protocol == "linear" and one.weights == "theirs")
    images, task = torch.zeros(2, 32, 32, dtype=torch.uint8), study.tasks[cell.task]
    model = ContrastiveModel.from_pretrained(tmp_path / "model")
    expected = model.trunk(model.pixel_values(images)).mean(dim=(2, 3))
    torch.testing.assert_close(PooledFeatures(study.model("theirs", 0), "trunk")(model.pixel_values(images)), expected)
    assert study.features(cell, task, study.model("theirs", 0)).shape == (len(task.corpus), expected.shape[1])
    (case,) = zero_shot_cases(study, resamples=5)
    said = predict_split(model, task.corpus, "test")
    place = said.classes.index("Effusion")
    expected = roc_auc_score(said.labels[:, place], said.probabilities[:, place])
    assert case.named["weights"] == "theirs" and case.mean("auroc").value == pytest.approx(expected)


def test_zero_shot_is_left_out_where_it_cannot_be_asked(corpus, finished, saved_model, tmp_path, monkeypatch):
    assert zero_shot_cases(finished, resamples=20) == [], "no pre-trained weights"
    MedslipModel(MedslipConfig(**MODEL)).save_pretrained(tmp_path / "without books")
    study = grid.Grid(params(corpus, weights={"ours": str(tmp_path / "without books")}), tmp_path)
    assert zero_shot_cases(study, resamples=20) == [], "nothing to ask it with"
    study = grid.Grid(params(corpus, weights={"ours": str(saved_model)}), tmp_path)
    monkeypatch.setitem(vocabulary.DATASET_CLASSES, "nih", {"Mass": "mass"})
    assert zero_shot_cases(study, resamples=20) == [], "a class that no pathology stands for"


def test_the_committed_summary_is_of_the_chapter_s_whole_grid():
    told = json.loads((REPOSITORY / "benchmarks" / "results" / "demo_finetuning.json").read_text())
    values = {name: one.default for name, one in declared_parameters(REPOSITORY / "book" / "finetuning.ipynb").items()}
    names = ("weights", "tasks", "protocols", "fractions", "seeds", "training", "model")
    asked = GridParams.from_dict(
        {"corpora": {name: name for name in values["datasets"]}, **{name: values[name] for name in names}}
    )
    assert told["runs"] == told["runs_in_all"] == len(grid.cells(asked)) and told["missing"] == []
    assert told["compared"] == compared_weights(asked.weights) == ["MeDSLIP", "random", "ImageNet"]
    assert told["command"].split()[-1] == "benchmarks/results/demo_finetuning.json" and " /" not in told["command"]
    assert {(one["against"], one["protocol"], one["fraction"]) for one in told["comparisons"]} == {
        (other, protocol, fraction) for other in told["compared"][1:] for protocol in ("linear", "full", "frozen")
        for fraction in values["fractions"]
    }  # fmt: skip
    assert told["zero_shot"] and told["labels_needed"] and told["without_labels"]
    (rule,) = [
        line for line in (REPOSITORY / "Makefile").read_text().splitlines() if line.startswith("CODE_finetuning")
    ]
    assert "benchmarks/results/demo_finetuning.json" in rule, "make runs the chapter again when the summary changes"


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text("fractoins: [0.1]\n")
    with pytest.raises(SystemExit):
        grid.main(["--params", str(tmp_path / "grid.yaml")])
    assert "nearest valid name is fractions" in capsys.readouterr().err


@pytest.mark.parametrize("loss, score, told", [(np.nan, 0.5, "the loss is nan"), (0.1, np.nan, "score nan")])
def test_a_training_that_diverges_says_so(tmp_path, loss, score, told):
    network = torch.nn.Linear(1, 1)
    learner = SimpleNamespace(
        network=network, training_mode=network.train, score=lambda: score,
        loss=lambda rows, epoch: network.weight.sum() * loss, device=torch.device("cpu"),
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match=f"{told}.*lower the learning_rate"):
        fit(learner, np.arange(4), FinetuneParams(epochs=1, batch_size=2), 0, tmp_path, {})
