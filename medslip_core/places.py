"""A pathology *at* an anatomy: is it this that lies there?

That something lies in the left lower lung, and that a nodule lies somewhere, does not say that the nodule lies in the
left lower lung. Vision-language models are known to mix up what is true of what ("binding"; Yuksekgonul et al., "When
and why vision-language models behave like bags-of-words", ICLR 2023), and ICL and ProtoCL are there to tie a pathology
to its place (paper, section "Method"). The paper does not ask for it; the questions are ours.

They are about sides, as only these never overlap: what lies in the left lower lobe may lie in the left lower zone too,
but not on the right. Asked for are anatomies that both sides have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    MIRRORED_ANATOMY_INDEX,
    PATHOLOGIES,
    PATHOLOGY_INDEX,
    PRESENT,
    UNCERTAIN,
    mirrored_anatomy,
    position,
    require_vocabulary,
    side_of,
)

COLUMNS = ["anatomy", "pathology", "corpus", "row", "image", "patient", "truth", "swap"]

QUESTIONS = {"side": False, "side, swapped": True}
"""Question -> whether only swaps are asked, see `place_questions`."""

_UNSPECIFIC = ("abnormality", "finding", "process", "disease", "tail_abnorm_obs", "excluded_obs")
_SIDES = {side: [i for i, name in enumerate(ANATOMIES) if side_of(name) == side] for side in ("left", "right")}
_NO_SIDE = [i for i, name in enumerate(ANATOMIES) if side_of(name) is None]
_FINDINGS = [i for i, name in enumerate(PATHOLOGIES) if name not in HEALTHY + _UNSPECIFIC]


def place_questions(corpora: Mapping[str, PreparedCorpus], split: str) -> pd.DataFrame:
    """What can be asked of corpora whose triplets say where pathologies lie: one row per image and pair of names.

    Of an anatomy and a pathology, those images are asked where the pathology is present at that anatomy (truth 1), or
    on the other side only (truth 0): neither present nor uncertain on this one or at an anatomy that belongs to none.

    Args:
        corpora: by name; truth of the dataset counts where it has any, else reports. Without triplets, a corpus gives
            no question.
        split: whose images.

    Returns:
        columns `COLUMNS`, sorted by pathology, anatomy and image:
        row in its corpus; image, a number of its own for each over all corpora; patient, with the corpus' name before
        it; truth 1 or 0;
        swap, whether both this anatomy and its mirror image show something, the pathology being at one of them and
        another one at the other. Of either truth it is so that the pathology is somewhere, and something at both.
    """
    tables, before = [], 0
    for name, corpus in corpora.items():
        source = "truth" if (corpus.triplets["source"] == "truth").any() else "report"
        rows = corpus.stated(split, source)
        if len(rows):
            asked = _questions(corpus.matrix(rows, source=source))
            asked["row"] = rows[asked.pop("index")]
            patients = corpus.manifest["patient_id"].astype(str).to_numpy()[asked["row"]]
            tables.append(asked.assign(corpus=name, image=before + asked["row"], patient=name + "/" + patients))
        before += len(corpus)
    if not tables:
        return pd.DataFrame(columns=COLUMNS).astype({"swap": bool})
    table = pd.concat(tables).sort_values(["pathology", "anatomy", "image"], ignore_index=True)
    names = {"anatomy": ANATOMIES, "pathology": PATHOLOGIES}
    return table.assign(**{what: [of[i] for i in table[what]] for what, of in names.items()})[COLUMNS]


def _questions(matrix: np.ndarray) -> pd.DataFrame:
    """Of label matrices [n, A, P]: index (of the image), anatomy, pathology (indices), truth and swap of every one."""
    matrix = matrix[:, :, _FINDINGS]
    present, possible = matrix == PRESENT, (matrix == PRESENT) | (matrix == UNCERTAIN)  # [n, A, F]
    no_side = possible[:, _NO_SIDE].any(axis=1)  # [n, F]
    tables = []
    for side, other in (("left", "right"), ("right", "left")):
        asked = [i for i in _SIDES[side] if MIRRORED_ANATOMY_INDEX[i] != i]
        here, across = present[:, asked], present[:, [MIRRORED_ANATOMY_INDEX[i] for i in asked]]  # [n, asked, F]
        both = here.any(axis=2, keepdims=True) & across.any(axis=2, keepdims=True)
        only_here, only_across = (
            (present[:, _SIDES[one]].any(axis=1) & ~possible[:, _SIDES[another]].any(axis=1) & ~no_side)[:, None]
            for one, another in ((side, other), (other, side))
        )  # [n, 1, F]
        elsewhere = np.broadcast_to(only_across, here.shape)
        for truth, shown, swap in ((1, here, both & only_here), (0, elsewhere, both & across)):
            index, anatomy, pathology = where = np.nonzero(shown)
            tables.append(pd.DataFrame({
                "index": index, "anatomy": np.array(asked)[anatomy], "pathology": np.array(_FINDINGS)[pathology],
                "truth": truth, "swap": np.broadcast_to(swap, here.shape)[where],
            }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def asked_of(questions: pd.DataFrame, swapped: bool, least: int = LEAST_PATIENTS) -> pd.DataFrame:
    """Those questions, with the index they have, of whose pair of names `least` patients of either truth are asked.

    Of pathologies that are asked at an anatomy of the same images with the same truth, as where two words are said of
    one thing, the first is kept.

    Args:
        swapped: only swaps.
    """
    asked = questions[questions["swap"]] if swapped else questions
    pair = pair_label(asked)
    behind = asked.groupby([pair, "truth"])["patient"].nunique().unstack("truth")
    enough = behind.reindex(columns=[0, 1]).fillna(0).min(axis=1) >= least
    said = asked.groupby(["anatomy", pair])[["image", "truth"]].apply(lambda one: one.to_numpy().tobytes())
    again = said.reset_index(level="anatomy").duplicated()
    return asked[pair.isin(enough[enough].index) & ~pair.isin(again[again].index)]


@dataclass(frozen=True)
class Answered:
    """A question of `QUESTIONS`, as asked of test images, and what a model said.

    questions: some of `place_questions`; scores: of `place_scores`, with the same index; best: the way with the highest
    macro AUROC on validation images, of the same pairs of names.
    """

    questions: pd.DataFrame
    scores: pd.DataFrame
    best: str


def answer(model, corpora: Mapping[str, PreparedCorpus], batch_size: int = 32) -> dict[str, Answered]:
    """Every question of `QUESTIONS` that test images hold often enough, and validation images at all.

    Args:
        model, corpora: see `place_scores`.
    """
    test, validation = (place_questions(corpora, split) for split in ("test", "validate"))
    asked = {}
    for question, swapped in QUESTIONS.items():
        of_test = asked_of(test, swapped)
        of_validation = asked_of(validation, swapped, least=1)
        of_validation = of_validation[pair_label(of_validation).isin(pair_label(of_test))]
        if len(of_validation):
            asked[question] = of_test, of_validation
    if not asked:
        return {}
    test, validation = (table.loc[sorted(set().union(*(pair[i].index for pair in asked.values())))]
                        for i, table in enumerate((test, validation)))  # fmt: skip
    said, said_before = (place_scores(model, corpora, some, batch_size) for some in (test, validation))
    return {
        question: Answered(of_test, said.loc[of_test.index], best_way(of_validation, said_before))
        for question, (of_test, of_validation) in asked.items()
    }


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
        "words", of contrasted models: how much more the image is like *There is a nodule at the left lower zone* than
        *There is no nodule at the left lower zone*; "words, other side": than *There is a nodule at the right …*.

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
                for way, said in at_places(model, pixels, list(pairs)).items():
                    seen.setdefault(way, []).append(said.float().cpu().numpy())
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
        prompts = [place_prompt(*pair, present) for present in (True, False) for pair in pairs]
        prompts += [place_prompt(mirrored_anatomy(anatomy), pathology, True) for anatomy, pathology in pairs]
        yes, no, other_side = model.likeness(pixel_values, prompts).chunk(3, dim=1)
        return ways | {"words": yes - no, "words, other side": yes - other_side}
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
    named = questions[["pathology", "anatomy"]].astype(str)  # where there are none, too
    return named["pathology"] + " at " + named["anatomy"]


def macro_auroc(questions: pd.DataFrame, score: pd.Series) -> float:
    """The mean over pairs of names of the AUROC of a score; NaN without questions."""
    table = questions[["truth"]].assign(score=score).groupby(pair_label(questions))
    values = [auroc(one["truth"].to_numpy(), one["score"].to_numpy(), np.ones((1, len(one))))[0] for _, one in table]
    return float(np.mean(values)) if values else float("nan")


def best_way(questions: pd.DataFrame, scores: pd.DataFrame) -> str:
    """The way, a column of `place_scores`, with the highest macro AUROC on these questions."""
    return max(scores.columns, key=lambda way: macro_auroc(questions, scores.loc[questions.index, way]))
