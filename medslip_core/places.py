"""A pathology *at* an anatomy: is it this that lies there?

That something lies in the left lower lung, and that a nodule lies somewhere, does not say that the nodule lies in the
left lower lung. Vision-language models are known to mix up what is true of what ("binding"; Yuksekgonul et al., "When
and why vision-language models behave like bags-of-words", ICLR 2023), and ICL and ProtoCL are there to tie a pathology
to its place (paper, section "Method"). The paper does not ask for it; the questions are ours.

They are about sides, as only these never overlap: what lies in the left lower lobe may lie in the left lower zone too,
but not on the right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.contrastive.prompts import place_prompt
from medslip_core.corpus import PreparedCorpus
from medslip_core.evaluating import evaluating
from medslip_core.inference import batches
from medslip_core.metrics import LEAST_PATIENTS, auroc
from medslip_core.vocabulary import (
    ANATOMIES,
    ANATOMY_INDEX,
    HEALTHY,
    PATHOLOGIES,
    PATHOLOGY_INDEX,
    PLACED_ANATOMIES,
    PRESENT,
    position,
    require_vocabulary,
)

COLUMNS = ["anatomy", "pathology", "corpus", "row", "image", "patient", "truth", "decoy"]

_LEFT, _RIGHT = (
    [
        i
        for i, name in enumerate(ANATOMIES)
        if side in name.split("_") and name not in ("right_atrium", "right_ventricle")
    ]
    for side in ("left", "right")
)
_AMID = [ANATOMY_INDEX[name] for name in PLACED_ANATOMIES if ANATOMY_INDEX[name] not in _LEFT + _RIGHT]
_ABNORMAL = [i for i, name in enumerate(PATHOLOGIES) if name not in HEALTHY]


def place_questions(corpora: Mapping[str, PreparedCorpus], split: str) -> pd.DataFrame:
    """What can be asked of corpora whose triplets say where pathologies lie: one row per image and pair of names.

    Of an anatomy of one side and a pathology, those images are asked where the pathology is present at that anatomy
    (truth 1), or present on the other side, and neither on this one nor at an anatomy that belongs to none (truth 0).

    Args:
        corpora: by name; truth of the dataset counts where there is any, else reports. Without triplets, a corpus
            gives no question.
        split: whose images.

    Returns:
        columns `COLUMNS`, sorted by pathology, anatomy and image:
        row in its corpus; image, a number of its own for each over all corpora; patient, with the corpus' name before
        it; truth 1 or 0;
        decoy, whether another abnormality makes the question harder. With truth 0 it lies at the very anatomy; with
        truth 1 something lies on the other side, and the pathology does not. Of all these images it is true that there
        is something at the anatomy, or may be, and that the pathology is somewhere; it answers nothing.
    """
    tables, before = [], 0
    for name, corpus in corpora.items():
        for source in ("truth", "report"):
            rows = corpus.stated(split, source)
            if len(rows):
                asked = _questions(corpus.matrix(rows, source=source) == PRESENT)
                asked["row"] = rows[asked.pop("index")]
                patients = corpus.manifest["patient_id"].astype(str).to_numpy()[asked["row"]]
                tables.append(asked.assign(corpus=name, image=before + asked["row"], patient=name + "/" + patients))
                break
        before += len(corpus)
    if not tables:
        return pd.DataFrame(columns=COLUMNS).astype({"decoy": bool})
    table = pd.concat(tables).sort_values(["pathology", "anatomy", "image"], ignore_index=True)
    names = {"anatomy": ANATOMIES, "pathology": PATHOLOGIES}
    return table.assign(**{what: [of[i] for i in table[what]] for what, of in names.items()})[COLUMNS]


def _questions(present: np.ndarray) -> pd.DataFrame:
    """Of present [n, A, P] bool: index (of the image), anatomy, pathology (indices), truth and decoy of every one."""
    amid = present[:, _AMID].any(axis=1)  # [n, P]
    tables = []
    for here, there in ((_LEFT, _RIGHT), (_RIGHT, _LEFT)):
        at_it = present[:, here]  # [n, sided, P]
        is_here, is_there = at_it.any(axis=1), present[:, there].any(axis=1)  # [n, P]
        elsewhere = np.broadcast_to((is_there & ~is_here & ~amid)[:, None], at_it.shape)
        something_there = is_there[:, _ABNORMAL].any(axis=1)[:, None] & ~is_there  # [n, P]
        something_at_it = at_it[:, :, _ABNORMAL].any(axis=2)  # [n, sided]
        for truth, shown, decoy in ((1, at_it, something_there[:, None]), (0, elsewhere, something_at_it[..., None])):
            index, anatomy, pathology = where = np.nonzero(shown)
            tables.append(pd.DataFrame({
                "index": index, "anatomy": np.array(here)[anatomy], "pathology": pathology, "truth": truth,
                "decoy": np.broadcast_to(decoy, shown.shape)[where],
            }))  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    return table[table["pathology"].isin(_ABNORMAL)]


def often_enough(questions: pd.DataFrame, decoys: bool, least: int = LEAST_PATIENTS) -> pd.DataFrame:
    """Those questions, with the index they have, of whose pair of names `least` patients of either truth are asked.

    Args:
        decoys: only questions with a decoy.
    """
    asked = questions[questions["decoy"]] if decoys else questions
    behind = asked.groupby([pair_label(asked), "truth"])["patient"].nunique().unstack("truth")
    fewest = behind.reindex(columns=[0, 1]).fillna(0).min(axis=1)
    return asked[pair_label(asked).map(fewest) >= least]


def place_scores(
    model, corpora: Mapping[str, PreparedCorpus], questions: pd.DataFrame, batch_size: int = 32
) -> pd.DataFrame:
    """How strongly a model says yes to questions, in every way that it can be asked.

    Args:
        model: `MedslipModel` with its books set, or a contrasted model.
        corpora: by name, those of the questions.
        questions: some of `place_questions`, at least one.

    Returns:
        one row per question, with its index, one column per way, float32; the more, the rather. Only the order within a
        pair of names has a meaning:
        "existence": probability of the pathology times that of something at the anatomy; nothing ties the two;
        "ICL": `icl_logits`;
        "ProtoCL, pathology": how much the pathology's feature is like the anatomy's text (cosine or dot product, as
        trained); "ProtoCL, anatomy": the anatomy's feature and the pathology's text;
        "maps": by how much the two attention maps overlap (sum of their product);
        "words", of contrasted models: how much more the image is like *There is a nodule at the left lower lung* than
        *There is no nodule at the left lower lung*.

    Raises:
        ValueError: there are no questions; the model has other names than the vocabulary, or in another order.
    """
    if questions.empty:
        raise ValueError("places: there is nothing to ask; do the corpora state where findings lie?")
    require_vocabulary(model.config)
    pairs = pd.MultiIndex.from_frame(questions[["anatomy", "pathology"]].drop_duplicates())
    column = pairs.get_indexer(pd.MultiIndex.from_frame(questions[["anatomy", "pathology"]]))
    scores: dict[str, np.ndarray] = {}
    with evaluating(model), torch.inference_mode():
        for name, asked in questions.groupby("corpus", sort=False).indices.items():
            rows, index = np.unique(questions["row"].to_numpy()[asked], return_inverse=True)
            seen: dict[str, list[np.ndarray]] = {}
            for pixels in batches(model, corpora[name], rows, batch_size, f"places, {name}"):
                for way, answer in at_places(model, pixels, list(pairs)).items():
                    seen.setdefault(way, []).append(answer.float().cpu().numpy())
            for way, answers in seen.items():
                found = scores.setdefault(way, np.zeros(len(questions), np.float32))
                found[asked] = np.concatenate(answers)[index, column[asked]]
    return pd.DataFrame(scores, index=questions.index)


def at_places(model, pixel_values: Tensor, pairs: list[tuple[str, str]]) -> dict[str, Tensor]:
    """Way -> [B, K], as `place_scores` gives them, of images and K pairs (anatomy, pathology).

    Args:
        pixel_values: [B, 3, S, S] float32 from `pixel_values()`.

    Raises:
        ValueError: a name that the vocabulary has not.
    """
    anatomies = [position(anatomy, ANATOMY_INDEX) for anatomy, _ in pairs]
    pathologies = [position(pathology, PATHOLOGY_INDEX) for _, pathology in pairs]
    output = model(pixel_values, output_attentions=True)
    anatomy_map = output.anatomy_attention.float().mean(dim=0)[:, anatomies]  # [B, K, N]
    pathology_map = output.pathology_attention.float().mean(dim=0)[:, pathologies]
    ways = {
        "existence": output.anatomy_prob[:, anatomies] * output.pathology_prob[:, pathologies],
        "maps": (anatomy_map * pathology_map).sum(dim=-1),
    }
    if output.icl_logits is None:
        yes, no = ([place_prompt(*pair, present) for pair in pairs] for present in (True, False))
        return ways | {"words": model.likeness(pixel_values, yes) - model.likeness(pixel_values, no)}
    cosine = model.config.protocl_temperature is not None
    anatomy_book, pathology_book = model.text_books()
    return ways | {
        "ICL": output.icl_logits[:, anatomies, pathologies],
        "ProtoCL, pathology": _likeness(output.pathology_prototypes[:, pathologies], anatomy_book[anatomies], cosine),
        "ProtoCL, anatomy": _likeness(output.anatomy_prototypes[:, anatomies], pathology_book[pathologies], cosine),
    }


def _likeness(prototypes: Tensor, texts: Tensor, cosine: bool) -> Tensor:
    """[B, K] of [B, K, T] and [K, T], as `losses.protocl` compares them."""
    prototypes, texts = prototypes.float(), texts.float()
    if cosine:
        prototypes, texts = F.normalize(prototypes, dim=-1), F.normalize(texts, dim=-1)
    return (prototypes * texts).sum(dim=-1)


def pair_label(questions: pd.DataFrame) -> pd.Series:
    """ "effusion at left_pleural" of each question: what a class is elsewhere."""
    return (
        questions["pathology"].astype(str) + " at " + questions["anatomy"].astype(str)
    )  # str where there are none, too


def macro_auroc(questions: pd.DataFrame, score: pd.Series) -> float:
    """The mean over pairs of names of the AUROC of a score; NaN without questions."""
    table = questions[["truth"]].assign(score=score).groupby(pair_label(questions))
    values = [auroc(one["truth"].to_numpy(), one["score"].to_numpy(), np.ones((1, len(one))))[0] for _, one in table]
    return float(np.mean(values)) if values else float("nan")


def best_way(questions: pd.DataFrame, scores: pd.DataFrame, decoys: bool) -> str:
    """The way, a column of `place_scores`, with the highest macro AUROC: of validation images, to ask test images in.

    Raises:
        ValueError: no pair is asked with either truth.
    """
    asked = often_enough(questions, decoys, least=1)
    if asked.empty:
        raise ValueError("places: there is nothing to choose a way by")
    return max(scores.columns, key=lambda way: macro_auroc(asked, scores.loc[asked.index, way]))
