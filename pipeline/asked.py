"""What a profile asks of each chapter, checked whole and written where make sees it change.

    python -m pipeline.asked --profile demo [--data FOLDER]

Make calls it first. `runs/<profile>/<chapter>/asked.txt` is written anew only where a value differs: a comment, or the
same folder of data in other words, runs no chapter again. Where anything is wrong with the profile, nothing is written,
so what was finished stays so.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from medslip_core.files import write_whole
from medslip_core.parameters import nearest
from pipeline.parameters import DEFAULTS, ParametersError, check_profile, declared_parameters, read_parameters

Values = Mapping[str, Any]
"""Of one chapter: parameter -> value."""


def write_asked(profile: str, data: str | None, book: Path, params: Path, runs: Path) -> list[str]:
    """Write what is asked of the chapters where it changed; returns the names of these.

    Args:
        profile: folder of `params`.
        data: folder that stands for ${DATA}.
        book, params, runs: folders of the chapters, profiles and results.

    Raises:
        ParametersError: what is wrong with the profile, one line each; nothing is written then.
    """
    check_profile(params, profile, book, data)
    data = os.path.realpath(data) if data else None
    given, all_values = {}, {}
    for chapter in sorted(book.glob("*.ipynb")):
        declared = declared_parameters(chapter)
        given[chapter.stem] = read_parameters(params / profile / f"{chapter.stem}.yaml", declared, data)
        defaults = {name: parameter.default for name, parameter in declared.items()}
        all_values[chapter.stem] = {**defaults, **given[chapter.stem]}
    texts = {name: yaml.safe_dump(values).encode() for name, values in given.items()}
    files = {name: runs / profile / name / "asked.txt" for name in texts}
    changed = [name for name, file in files.items() if not file.is_file() or file.read_bytes() != texts[name]]
    if changed:
        check_options(all_values, params / profile)
        if "finetuning" in all_values:
            check_weights(all_values["finetuning"], params / profile, book, runs / profile)
    for name in changed:
        write_whole(files[name], texts[name])
    return changed


def check_options(chapters: Mapping[str, Values], folder: Path) -> None:
    """Check the options inside parameters as the chapters will, which may be after days of training.

    Args:
        chapters: chapter -> all its values.
        folder: of the profile, for the message.

    Raises:
        ParametersError: what is wrong, one line a chapter.
    """
    problems = []
    for name, check in CHECKS.items():
        if name not in chapters or name == "comparison" and problems:  # it takes what the others ask
            continue
        try:
            check(chapters)
        except (ValueError, TypeError) as error:
            problems.append(f"{_origin(folder, name)}: {error}")
    if problems:
        raise ParametersError("\n".join(problems))


def check_weights(asked: Values, folder: Path, book: Path, run: Path) -> None:
    """Check that the models to fine-tune are there, but for optional ones and those that the run itself makes.

    Args:
        asked: all values of the fine-tuning chapter.
        folder: of the profile, for the message.
        book: to which the models' folders are relative.
        run: folder of the profile's results.

    Raises:
        ParametersError: no saved model in a folder.
    """
    from medslip_core.finetune.initial import is_folder
    from medslip_core.loading import load_config

    for name, source in asked["weights"].items():
        own = source == "pretraining" or (book / source).resolve().is_relative_to(run.resolve())
        if own or name in asked["optional"] or not is_folder(source):
            continue
        try:
            load_config(book / source)
        except (FileNotFoundError, ValueError) as error:
            raise ParametersError(
                f"{_origin(folder, 'finetuning')}: weights.{name}: {source!r}, seen from {book}/: {error}"
            ) from error


def _origin(folder: Path, chapter: str) -> str:
    """Where a chapter's values come from: its file, or its own defaults and what it takes of the others'."""
    file = folder / f"{chapter}.yaml"
    if file.is_file():
        return str(file)
    others = ", ".join(sorted(path.name for path in folder.glob("*.yaml"))) or "no file"
    return f"chapter {chapter} ({folder} holds {others})"


def _corpus(chapters: Mapping[str, Values]) -> None:
    from data_prep.corpus import check_datasets

    check_datasets(chapters["corpus"]["datasets"], ["image_size_px", "fit", "seed", "max_set_aside"], ["pretraining"])


def _pretraining(chapters: Mapping[str, Values]) -> None:
    from medslip_core.pretrain_params import PretrainParams

    asked = chapters["pretraining"]
    shared = {name: asked[name] for name in ("seed", "text_encoder", "model")}
    PretrainParams.from_dict({**shared, **asked["training"]})


def _zero_shot(chapters: Mapping[str, Values]) -> None:
    for option in ("datasets", "places"):
        _require_corpora(chapters, option, chapters["zero_shot"][option])


def _grounding(chapters: Mapping[str, Values]) -> None:
    asked = chapters["grounding"]
    for option in ("boxes", "masks"):
        _require_corpora(chapters, option, asked[option])
    _require_corpora(chapters, "anatomy_corpus", filter(None, [asked["anatomy_corpus"]]))


def _require_corpora(chapters: Mapping[str, Values], option: str, names: Iterable[Any]) -> None:
    known = chapters["corpus"]["datasets"]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{option}: {name!r} is none of the corpora of the corpus chapter, {', '.join(known)}; "
                f"did you mean {nearest(name, known)!r}?"
            )


def _finetuning(chapters: Mapping[str, Values]) -> None:
    from data_prep.corpus import check_datasets
    from medslip_core.finetune.params import GridParams

    asked = chapters["finetuning"]
    check_datasets({name: own for name, own in asked["datasets"].items() if own}, ["image_size_px", "seed"])
    own = {name: asked[name] for name in ("weights", "model", "seeds", "resamples", "keep_models")}
    GridParams.from_dict({**_grid(asked), **own})


def _comparison(chapters: Mapping[str, Values]) -> None:
    from medslip_core.comparison.params import ComparisonParams

    asked, trained, grounding = (chapters[name] for name in ("comparison", "pretraining", "grounding"))
    grid = {**_grid(chapters["finetuning"]), **asked["finetuned"]}
    shared = {name: trained[name] for name in ("model", "text_encoder")}
    ComparisonParams.from_dict({
        "corpora": dict.fromkeys(chapters["corpus"]["datasets"], ""),
        "pretraining": {**trained["training"], **shared, **asked["budget"]},
        "variants": {**asked["variants"], **asked["models"]},
        "seeds": asked["seeds"],
        "classification": chapters["zero_shot"]["datasets"],
        **{name: chapters["zero_shot"][name] for name in ("classes", "places")},
        "finetuned": grid if asked["finetuned"] else {},
        **{name: grounding[name] for name in ("boxes", "anatomy_corpus", "anatomy_images", "looks")},
    })  # fmt: skip


def _grid(asked: Values) -> dict[str, Any]:
    names = ("tasks", "protocols", "fractions", "training", "device")
    return {"corpora": dict.fromkeys(asked["datasets"], ""), **{name: asked[name] for name in names}}


CHECKS: dict[str, Callable[[Mapping[str, Values]], None]] = {
    "corpus": _corpus,
    "pretraining": _pretraining,
    "zero_shot": _zero_shot,
    "grounding": _grounding,
    "finetuning": _finetuning,
    "comparison": _comparison,
}
"""Chapter -> how it checks its options itself; tests/contract/test_asked.py runs its cells and holds both together."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default=DEFAULTS, help=f"folder of params/ (default: {DEFAULTS})")
    parser.add_argument("--data", help="folder that stands for ${DATA} in the params files")
    given = parser.parse_args(arguments)
    try:
        write_asked(given.profile, given.data, Path("book"), Path("params"), Path("runs"))
    except ParametersError as error:
        logging.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
