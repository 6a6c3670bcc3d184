"""Zero-shot classification: the existence head's probability of a pathology, no label of the dataset used.

Source: paper arXiv 2403.10635, zero-shot classification. Unlike the published code, thresholds come from validation
rows, never from the test set, and every value has an interval over patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from medslip_core.evaluating import evaluating
from medslip_core.inference import batches, without_trunk
from medslip_core.metrics import (
    LEAST_PATIENTS,
    METRICS,
    THRESHOLD_METRICS,
    TOO_FEW,
    best_f1_threshold,
    class_metrics,
    has_interval,
    images_behind,
    mean_over_classes,
    patient_bootstrap,
    patients_behind,
    patients_behind_macro,
    require_labels,
    why_undefined,
)
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX, pathologies_by_name, position, require_vocabulary

TEMPLATES = ("{}", "There is {}.", "Findings consistent with {}.", "{} is seen on the chest radiograph.")
"""Sentences around a class name; a class is the mean of their embeddings (classnames x templates, as in open_clip)."""


@dataclass(frozen=True)
class Existence:
    """Probabilities that a pathology or an anatomy's finding is present: [n, 75] and [n, 51] float32 in [0, 1]."""

    pathology: np.ndarray
    anatomy: np.ndarray


@dataclass(frozen=True)
class ClassPredictions:
    """Labels and probabilities of one dataset's classes on some rows of its corpus.

    classes: C names; rows, patients: [n]; labels: [n, C] float32 1, 0 or NaN; probabilities: [n, C] in [0, 1].
    """

    dataset: str
    classes: tuple[str, ...]
    rows: np.ndarray
    patients: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self):
        shape = (len(self.rows), len(self.classes))
        for name in ("labels", "probabilities"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be [rows, classes] = {shape}, not {getattr(self, name).shape}")
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise ValueError("probabilities must lie in [0, 1], without NaN: pass softmax outputs, not logits")
        require_labels(self.labels)


def classify(model, corpus, rows: np.ndarray, batch_size: int = 32) -> Existence:
    """Probability of every pathology and every anatomy for rows of a corpus.

    Args:
        model: `MedslipModel` with its books set.
        corpus: `PreparedCorpus`, or images as `inference.Images` takes them.
        rows: [n] rows of the corpus.

    Returns:
        `Existence`: pathology [n, 75], anatomy [n, 51] float32.

    Raises:
        ValueError: the model has other names than the vocabulary, or in another order; there are no rows.

    Source: published code, `softmax(pathology_logits)[..., 1]`.
    """
    require_vocabulary(model.config)
    pathology, anatomy = [], []
    with evaluating(model), torch.inference_mode():
        for pixels in batches(model, corpus, rows, batch_size, "zero-shot"):
            output = model(pixels)
            pathology.append(output.pathology_prob.cpu().numpy())
            anatomy.append(output.anatomy_prob.cpu().numpy())
    return Existence(np.concatenate(pathology), np.concatenate(anatomy))


def asked_by_name(corpus) -> dict[str, str]:
    """Label of a corpus -> pathology that it is asked for by, see `vocabulary.pathologies_by_name`."""
    return pathologies_by_name(corpus.header["dataset"], corpus.classes)


def asked_for(corpus, named: Mapping[str, str] | None = None) -> dict[str, str]:
    """As `asked_by_name`, but for what is known better.

    Args:
        corpus: `PreparedCorpus`.
        named: label of the corpus -> pathology.

    Raises:
        ValueError: `named` has a label that the corpus has not, or a pathology that the vocabulary has not; or there is
            no label to ask for.
    """
    found, named = asked_by_name(corpus), dict(named or {})
    dataset = corpus.header["dataset"]
    for kind, unknown, known in (
        ("label", set(named) - set(corpus.classes), corpus.classes),
        ("pathology", set(named.values()) - set(PATHOLOGY_INDEX), PATHOLOGY_INDEX),
    ):
        if unknown:
            raise ValueError(f"dataset {dataset!r}: no {kind} {sorted(unknown)}; there are {', '.join(known)}")
    if not found and not named:
        raise ValueError(
            f"dataset {dataset!r}: none of its labels {list(corpus.classes)} has the name of a pathology; say by which "
            "pathology each is asked for, as in {'Fluid': 'effusion'}"
        )
    return {**found, **named}


def predict_classes(existence: Existence, corpus, rows: np.ndarray, classes: Mapping[str, str]) -> ClassPredictions:
    """The probabilities of a dataset's own classes, beside its labels.

    Args:
        existence: what `classify` returned for these rows.
        classes: as `asked_for` gives them.

    Raises:
        ValueError: a class is asked for by what is no pathology.
    """
    columns = [position(pathology, PATHOLOGY_INDEX) for pathology in classes.values()]
    return ClassPredictions(
        dataset=corpus.header["dataset"],
        classes=tuple(classes),
        rows=np.asarray(rows),
        patients=corpus.manifest["patient_id"].to_numpy()[rows],
        labels=corpus.labels(list(classes), rows),
        probabilities=existence.pathology[:, columns],
    )


def predict_split(
    model, corpus, split: str, batch_size: int = 32, classes: Mapping[str, str] | None = None
) -> ClassPredictions:
    """Labels and probabilities of the dataset's own classes on one split of its corpus, perhaps without rows.

    Args:
        classes: as `asked_for` gives them, and does if None.
    """
    rows = corpus.rows(split)
    none = Existence(np.zeros((0, len(PATHOLOGY_INDEX)), np.float32), np.zeros((0, len(ANATOMY_INDEX)), np.float32))
    classes = classes or asked_for(corpus)
    predict_classes(none, corpus, rows[:0], classes)  # says what is wrong with them before all images are looked at
    existence = classify(model, corpus, rows, batch_size) if len(rows) else none
    return predict_classes(existence, corpus, rows, classes)


def encode_classes(
    classnames: Sequence[str],
    encode: Callable[[list[str]], torch.Tensor],
    templates: Sequence[str] = TEMPLATES,
) -> torch.Tensor:
    """Embeddings of classes given in words: for each, the mean over all templates.

    Args:
        classnames: C names or phrases, seen in training or not.
        encode: sentences -> [sentences, T] float32, by the encoder that made the model's books.
        templates: sentences with one `{}`.

    Returns:
        [C, T] float32.

    Raises:
        ValueError: one text instead of several, or a template without `{}`.
    """
    for what, texts in (("classnames", classnames), ("templates", templates)):
        if isinstance(texts, str):
            raise ValueError(f"{what} is the text {texts!r}: give a list of them")
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"templates: {template!r} has no {{}} for the name of a class")
    sentences = [template.format(name) for name in classnames for template in templates]
    return encode(sentences).float().view(len(classnames), len(templates), -1).mean(dim=1)  # [C * K, T] -> [C, T]


def classify_text(model, corpus, rows: np.ndarray, embeddings: torch.Tensor, batch_size: int = 32) -> np.ndarray:
    """Probability of classes given in words, for rows of a corpus.

    Each class is asked beside the 75 pathologies, not instead of them and not beside the other new classes: queries
    attend to each other, and so its answer does not depend on what else is asked.

    Args:
        corpus: `PreparedCorpus`, or images as `inference.Images` takes them.
        embeddings: [C, T] from `encode_classes`.

    Returns:
        [n, C] float32 in [0, 1].

    Raises:
        ValueError: embeddings of another shape; there are no rows.
    """
    width = model.config.text_dim
    is_tensor = isinstance(embeddings, torch.Tensor)
    if not is_tensor or embeddings.ndim != 2 or embeddings.shape[1] != width or not len(embeddings):
        given = list(embeddings.shape) if is_tensor else f"a {type(embeddings).__name__}"
        raise ValueError(
            f"embeddings are {given}, not a tensor [C, T={width}] of one class or more: "
            "encode_classes(names, encoder_of(model.config)) makes them"
        )
    rest = without_trunk(model)
    probabilities = []
    with evaluating(model), evaluating(rest), torch.inference_mode():
        for pixels in batches(model, corpus, rows, batch_size, "free text"):
            features = model.trunk(pixels)  # [B, C, h, w], the same for every question
            asked = [new[None].to(features) for new in embeddings]  # C times [1, T]
            answers = [rest(features, more_pathologies=one).pathology_prob[:, -1] for one in asked]
            probabilities.append(torch.stack(answers, dim=1).cpu().numpy())
    return np.concatenate(probabilities)


def predict_in_words(
    model,
    corpus,
    predictions: ClassPredictions,
    words: Mapping[str, str],
    encode: Callable[[list[str]], torch.Tensor],
    batch_size: int = 32,
) -> ClassPredictions:
    """The same rows and labels, each class asked for in words instead of by its pathology.

    Args:
        predictions: of these rows, with at least the classes in `words`.
        words: class -> how to ask for it.
        encode: sentences -> [sentences, T] float32, by the encoder that made the model's books.

    Raises:
        ValueError: if `words` names a class that `predictions` lack.
    """
    unknown = set(words) - set(predictions.classes)
    if unknown:
        raise ValueError(f"{predictions.dataset} has no class {sorted(unknown)}; it has {list(predictions.classes)}")
    columns = [predictions.classes.index(name) for name in words]
    probabilities = np.zeros((0, len(words)), np.float32)
    if len(predictions.rows):
        embeddings = encode_classes(list(words.values()), encode)
        probabilities = classify_text(model, corpus, predictions.rows, embeddings, batch_size)
    return replace(
        predictions, classes=tuple(words), labels=predictions.labels[:, columns], probabilities=probabilities
    )


def check_apart(test_rows, test_patients, validation_rows, validation_patients) -> None:
    """Raise ValueError if test and validation share a row or a patient: thresholds would see the test set."""
    for what, test, validation in (
        ("rows", test_rows, validation_rows),
        ("patients", test_patients, validation_patients),
    ):
        shared = np.intersect1d(test, validation)
        if len(shared):
            raise ValueError(
                f"test and validation share {len(shared)} {what}, e.g. {shared[0]}: split by patient before evaluating"
            )


def evaluate(
    test: ClassPredictions,
    validation: ClassPredictions,
    protocol: str = "zero-shot",
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """All metrics per class and, of several, their mean ("macro"), with 95 % intervals over the test patients.

    Where `metrics.has_interval` grants none, low and high are NaN. Thresholds are those with the best F1 on
    `validation`. For the interval of a macro value, only draws count that leave no class with one label only.

    Returns:
        columns dataset, class, metric, value, low, high, n (images with a known label), positives (those
        of them that show the class), threshold, protocol, note (why a value or its interval is NaN; how many classes a
        macro value is the mean of). In a macro row, n and positives are of any of the classes.

    Raises:
        ValueError: if rows or patients overlap, or datasets or classes differ.
    """
    if (test.dataset, test.classes) != (validation.dataset, validation.classes):
        raise ValueError(f"test ({test.dataset}) and validation ({validation.dataset}) must have the same classes")
    check_apart(test.rows, test.patients, validation.rows, validation.patients)
    thresholds = [
        best_f1_threshold(*columns) for columns in zip(validation.labels.T, validation.probabilities.T, strict=True)
    ]
    truth, prob = test.labels.astype(float).T, test.probabilities.astype(float).T  # [C, n]

    def per_class(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, C, metrics]
        return np.stack([class_metrics(*one, weight) for one in zip(truth, prob, thresholds, strict=True)], axis=1)

    defined = ~np.isnan(per_class(np.ones((1, len(test.rows)))))[0]

    def every_value(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, C + 1, metrics], the last "class" being macro
        of_class = per_class(weight)
        return np.concatenate([of_class, mean_over_classes(of_class, defined)[:, None]], axis=1)

    behind = [[patients_behind(metric, of_class, test.patients) for metric in METRICS] for of_class in truth]
    behind.append(
        [patients_behind_macro(metric, truth[defined[:, m]], test.patients) for m, metric in enumerate(METRICS)]
    )
    told = [[has_interval(*one) for one in zip(METRICS, of_class, strict=True)] for of_class in behind]
    estimate = patient_bootstrap(every_value, test.patients, resamples, seed).where(told)
    table = []
    for c, name in enumerate((*test.classes, "macro") if len(test.classes) > 1 else test.classes):
        for m, metric in enumerate(METRICS):
            few = TOO_FEW if 0 < behind[c][m] < LEAST_PATIENTS else ""
            row = {"dataset": test.dataset, "class": name, "metric": metric, "value": estimate.value[c, m],
                   "low": estimate.low[c, m], "high": estimate.high[c, m]}  # fmt: skip
            if name == "macro":
                mean = f"mean of {defined[:, m].sum()} of {len(test.classes)} classes"
                row |= {"n": images_behind(truth, test.rows), "positives": int((truth == 1).any(axis=0).sum()),
                        "threshold": np.nan, "note": "; ".join(filter(None, [mean, few]))}  # fmt: skip
            else:
                undefined = np.isnan(row["value"])
                reason = why_undefined(truth[c], thresholds[c], metric) if undefined else few
                row |= {"n": images_behind(truth[c], test.rows), "positives": int(np.nansum(truth[c])),
                        "threshold": thresholds[c] if metric in THRESHOLD_METRICS else np.nan,
                        "note": reason}  # fmt: skip
            table.append(row | {"protocol": protocol})
    columns = "dataset class metric value low high n positives threshold protocol note".split()
    return pd.DataFrame(table, columns=columns)
