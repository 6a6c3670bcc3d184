"""From a dataset on disk to a prepared corpus, on all cores or a cluster; whole or not there, taken up when killed.

What is in the folder stands in `medslip_core.corpus`, which reads it. Records are prepared by workers and written by
this process in the reader's order, so the bytes depend neither on the number of workers nor on how often it was killed.
"""

import difflib
import hashlib
import inspect
import logging
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from itertools import islice
from numbers import Integral
from operator import length_hint
from pathlib import Path

import cv2
import PIL
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from data_prep import READERS
from data_prep.chunks import CHUNK, Chunk, in_chunks
from data_prep.doubts import tell_doubts
from data_prep.errors import WORKER_DIED, DataError
from data_prep.files import require_folder
from data_prep.geometry import FITS
from data_prep.image.levels import rising
from data_prep.parallel import cores, in_order
from data_prep.record import Prepared, Recipe, SetAside, prepare_study, set_aside
from data_prep.splits import DEFAULT_SHARES, check_shares
from data_prep.study import Study
from data_prep.writer import CorpusWriter, put_in_place
from medslip_core import corpus as read_side
from medslip_core import report_sections, vocabulary
from medslip_core.corpus import HEADER, CorpusError, read_header

logger = logging.getLogger(__name__)


def prepare(
    dataset: str,
    root: str | Path,
    out: str | Path,
    image_size_px: int,
    fit: str = "pad",
    seed: int = 0,
    limit: int | None = None,
    truth: str | Path | None = None,
    processes: int | None = None,
    cluster: str | None = None,
    masks: bool = True,
    max_set_aside: float = 0.01,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
    percentiles: tuple[float, float] | None = None,
    **reader_options: object,
) -> Path:
    """Prepares a corpus from a dataset as downloaded; called again after it was stopped anywhere, it goes on there.

    What was set aside before it was stopped is tried again. From the first chunk of which something now comes out
    otherwise (a decoder was installed, a file's rights were changed), the rest is prepared anew.

    In a script, call it below `if __name__ == "__main__":`, for every worker process runs the script again; or take
    processes=1.

    Args:
        dataset: a name in `READERS`.
        root: the dataset's folder.
        out: folder of the corpus; one that is there already is replaced when the new one is complete.
        image_size_px: side of the square images.
        fit: "pad" keeps the aspect ratio, "crop" too and takes the middle, "squash" stretches to the square.
        seed: of the split by patient, where the dataset has none of its own.
        limit: read only so many studies, the first ones.
        truth: folder of the phantom's exact truth (triplets and masks) for this dataset.
        processes: worker processes; default: one per core this process may use.
        cluster: address of a Dask scheduler, whose workers are used instead; they must see `root` and `truth`.
        masks: whether masks are written.
        max_set_aside: largest share of records that may be unusable; beyond it the run stops, and goes on from there
            when called again with a larger share.
        shares: of patients in train, validate and test, where the dataset has no split of its own.
        percentiles: of each image's grey levels that become black and white, for example (0.5, 99.5); default: the
            levels as `data_prep.image` gives them.
        reader_options: of the dataset's `read`.

    Returns:
        `out`.

    Raises:
        DataError: an argument makes no sense, the dataset cannot be used, too many of its records cannot, `out` holds
            something else, or worker processes cannot be started.
    """
    root, out, truth = Path(root), Path(out), Path(truth) if truth is not None else None
    if out.is_symlink() or not out.name:  # what is renamed at the end is the folder, not a link to it
        out = out.resolve()
    reader = find_reader(dataset, reader_options, _own_options())
    image_size_px = _whole("image_size_px", image_size_px, "For example 224.")
    limit = limit if limit is None else _whole("limit", limit, "Leave it out to read every study.")
    processes = cores() if processes is None else _whole("processes", processes, "Leave it out for one per core.")
    if fit not in FITS:
        raise DataError(f"fit {fit!r}", "not one that is known", f"Use one of {', '.join(FITS)}.")
    check_shares(shares)
    require_folder(root)
    _check_out(out, dataset)
    recipe = Recipe(root, image_size_px, fit, masks, truth, rising(percentiles))
    studies = reader(root, **reader_options)
    total = min(length_hint(studies), limit if limit is not None else length_hint(studies))
    if total == 0:
        raise DataError(root, "no study to prepare", "Check the root and the views.")
    processes = min(processes, math.ceil(total / CHUNK))

    parameters = {
        "fit": fit, "seed": seed, "limit": limit, "masks": masks, "truth": truth is not None,
        "shares": list(shares), "percentiles": percentiles and list(percentiles),
        "reader": {name: _plain(value) for name, value in reader_options.items()},
    }  # fmt: skip
    facts = {
        "dataset": dataset, "synthetic": truth is not None or _is_phantom(root),
        "image_size_px": image_size_px, "fit": fit, "parameters": parameters,
    }  # fmt: skip
    work = out.with_name(f".{out.name}.partial")
    asked = facts | {"root": str(root.resolve()), "truth": truth and str(truth.resolve()), "code": _code()}
    with CorpusWriter(work, asked, seed, shares) as writer:
        with _again(recipe, processes, cluster) as again:
            chunks = writer.resume(in_chunks(tell_doubts(islice(studies, limit))), again)
        done = writer.count + writer.set_aside
        if done:
            logger.info("%s: %d of %d records are there from a run that was stopped", out, done, total)
        bar = tqdm(total=total, initial=done, desc=f"preparing {dataset}", unit="image")
        with logging_redirect_tqdm(), bar:  # what is said of all studies comes with the last of them
            _check_share(root, writer, total, max_set_aside)
            for chunk, results in _prepared(chunks, recipe, processes, cluster):
                writer.add(chunk, results)
                bar.update(len(results))
                _check_share(root, writer, total, max_set_aside)
        try:
            put_in_place(writer.finish(facts, studies.absent), out)
        except DataError:
            shutil.rmtree(work)
            raise
    shutil.rmtree(work)
    counts = writer.count, writer.set_aside, len(studies.absent)
    logger.info("%s: %d images, %d set aside (set_aside.csv), %d not there (absent.csv)", out, *counts)
    return out


def _prepared(
    chunks: Iterator[Chunk], recipe: Recipe, processes: int, cluster: str | None
) -> Iterator[tuple[Chunk, list[Prepared | SetAside]]]:
    """Chunks with what became of their studies, in their order."""
    given: deque[Chunk] = deque()  # handed out and not yet back

    def studies() -> Iterator[list[Study]]:
        for chunk in chunks:
            given.append(chunk)
            yield chunk.studies

    with closing(in_order(*_work(recipe), studies(), processes, cluster)) as done:
        for results in done:
            yield given.popleft(), results


@contextmanager
def _again(
    recipe: Recipe, processes: int, cluster: str | None
) -> Iterator[Callable[[list[Study]], list[Prepared | SetAside]]]:
    """A function that prepares some studies at once; its workers start when it is first called."""
    given: deque[list[Study]] = deque()
    with closing(in_order(*_work(recipe), iter(given.popleft, None), processes, cluster, ahead=0)) as done:

        def again(studies: list[Study]) -> list[Prepared | SetAside]:
            given.append(studies)
            return next(done)

        yield again


def _work(recipe: Recipe) -> tuple[Callable, Callable]:
    """What workers do with a chunk of studies, and what becomes of a study that killed its worker."""
    return partial(_prepare_chunk, recipe=recipe), partial(_lost, recipe=recipe)


def _prepare_chunk(studies: list[Study], recipe: Recipe) -> list[Prepared | SetAside]:
    return [prepare_study(study, recipe) for study in studies]


def _lost(study: Study, recipe: Recipe) -> SetAside:
    remedy = "Convert the file, or give a worker more memory."
    return set_aside(study, recipe, f"{study.image_path}: {WORKER_DIED}. {remedy}")


def check_datasets(datasets: dict[str, dict], common: Sequence[str] = (), needed: Sequence[str] = ()) -> None:
    """Checks what is asked of several corpora, before the first of them takes hours.

    Args:
        datasets: corpus -> dataset, root, and options of `prepare` and of the dataset's reader.
        common: parameters of `prepare` that all have in common, so that none has its own.
        needed: corpora that must be among them.

    Raises:
        DataError: names the corpus, what is wrong with its entry, and the names that are known.
    """
    for name in needed:
        if name not in datasets:
            remedy = f"{_nearest(name, datasets, 'Is it')}Call one of them {name}."
            raise DataError("datasets", f"no corpus {name!r} among {', '.join(map(repr, datasets))}", remedy)
    own = ["dataset", "root", *(name for name in _own_options() if name not in common)]
    for corpus, options in datasets.items():
        where = f"datasets, {corpus}"
        if not isinstance(options, dict) or "dataset" not in options:
            remedy = f"For example {{dataset: {next(iter(READERS))}, root: folder}}."
            raise DataError(where, f"says no dataset: {options!r}", remedy)
        try:
            find_reader(options["dataset"], options, own)
            check_shares(options.get("shares", DEFAULT_SHARES))
            rising(options.get("percentiles"))
        except DataError as error:
            raise DataError(f"{where}: {error.where}", error.problem, error.remedy) from error
        if "root" not in options:
            raise DataError(where, "says no root", "Name the dataset's folder, root: folder.")


def find_reader(dataset: str, options: Iterable[str], own: Sequence[str] = ()):
    """The dataset's reader.

    Args:
        dataset: a name in `READERS`.
        options: names of the options that are given.
        own: names of those that the caller takes for itself; all others must be the reader's.

    Raises:
        DataError: no such dataset, or an option that its reader does not know.
    """
    if dataset not in READERS:
        remedy = f"{_nearest(dataset, READERS)}Use one of {', '.join(READERS)}."
        raise DataError(f"dataset {dataset!r}", "no reader of this name", remedy)
    known = [*list(inspect.signature(READERS[dataset]).parameters)[1:], *own]
    for name in options:
        if name not in known:
            remedy = f"{_nearest(name, known)}Its options: {', '.join(known)}."
            raise DataError(f"dataset {dataset!r}", f"no option {name!r}", remedy)
    return READERS[dataset]


def _own_options() -> list[str]:
    """Names of the options of `prepare` itself."""
    first_ones = ("dataset", "root", "out", "reader_options")
    return [name for name in inspect.signature(prepare).parameters if name not in first_ones]


def _nearest(name: object, known: Iterable[str], asked: str = "Did you mean") -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
    return f"{asked} {near[0]!r}? " if near else ""


def _whole(name: str, value: object, remedy: str) -> int:
    """A parameter that counts something.

    Raises:
        DataError: not a whole number above 0.
    """
    if not isinstance(value, Integral) or value < 1:
        raise DataError(f"{name} {value!r}", "not a whole number above 0", remedy)
    return int(value)


def _plain(value: object) -> object:
    """A reader's option as the header keeps it: no path of this machine."""
    return Path(value).name if isinstance(value, str | Path) else list(value) if isinstance(value, tuple) else value


def _code() -> str:
    """Digest of the decoders' versions and of this package's source, with the vocabulary, the headings of reports and
    the format that it writes: with others, records may come out otherwise."""
    digest = hashlib.sha256(" ".join((cv2.__version__, PIL.__version__, version("pydicom"))).encode())
    core = [Path(module.__file__) for module in (vocabulary, report_sections, read_side)]
    for path in [*sorted(Path(__file__).parent.rglob("*")), *core]:
        if path.suffix in (".py", ".toml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _check_out(out: Path, dataset: str) -> None:
    """Checks that nothing would be replaced but a corpus of the same dataset, or a damaged one of any.

    Raises:
        DataError: something else is there.
    """
    if out.exists() and not (out / HEADER).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(out, "is there already and is no prepared corpus", "Name another folder, or remove this one.")
    try:
        before = read_header(out)["dataset"]
    except CorpusError:
        return
    if before != dataset:
        raise DataError(out, f"holds a corpus of {before}", f"Name another folder for {dataset}, or remove this one.")


def _is_phantom(root: Path) -> bool:
    """Whether the phantom's truth lies beside the dataset, where the phantom leaves it."""
    place = root.resolve()
    return (place.parent / "truth" / place.name).is_dir()


def _check_share(root: Path, writer: CorpusWriter, total: int, share: float) -> None:
    if writer.set_aside > share * total:
        problem = f"{writer.set_aside} of {total} records cannot be used, more than the share of {share:g}"
        first = "; ".join(reason.removesuffix(".") for reason in writer.first_reasons)
        remedy = "Mend them, or allow more by max_set_aside (--max-set-aside); what is done is kept."
        raise DataError(root, f"{problem}. First: {first}", remedy)
