"""Run one chapter with papermill, and count it as done only when it really is.

    python -m pipeline.run_chapter zero_shot --profile demo [--data FOLDER]

papermill alone also exits 0 on an unknown parameter or a `sys.exit(0)` midway, and calls cells completed that a killed
kernel never reached. Here a chapter is done when its last cell's end marker and its results.json, both of this very
run, are there; only then does the executed copy get its name, `runs/<profile>/<chapter>/<chapter>.ipynb`, which is
what make looks at. A failed run leaves `<chapter>.failed.ipynb` with the traceback.
"""

import argparse
import json
import logging
import os
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from medslip_core.interruption import interruption_told
from pipeline.chapter import END_MARKER, RUN_ID_VARIABLE
from pipeline.parameters import DEFAULTS, ParametersError, check_profile, declared_parameters, read_parameters

logger = logging.getLogger(__name__)

NOT_RUN = "pending"  # papermill's own word for a cell that was not reached


class ChapterFailed(RuntimeError):
    """A chapter did not reach its end; the message names chapter and cell."""


@dataclass(frozen=True)
class ChapterRun:
    """Where a chapter's sources are and where its results go. Folders are absolute or relative to the caller."""

    name: str
    profile: str
    book: Path = Path("book")
    params: Path = Path("params")
    runs: Path = Path("runs")
    data: str | None = None
    cell_timeout_s: int | None = None

    @property
    def source(self) -> Path:
        return self.book / f"{self.name}.ipynb"

    @property
    def folder(self) -> Path:
        return self.runs / self.profile / self.name

    def copy(self, state: str = "") -> Path:
        """The executed copy: `state` is "" when done, ".running" or ".failed" otherwise."""
        return self.folder / f"{self.name}{state}.ipynb"


def run_chapter(run: ChapterRun) -> Path:
    """Execute a chapter with its profile's parameters.

    Returns:
        The executed copy.

    Raises:
        ParametersError: no such chapter, or the params file does not fit it.
        ChapterFailed: a cell raised, timed out, ended early, or the kernel died.
    """
    if not run.source.is_file():
        known = ", ".join(sorted(path.stem for path in run.book.glob("*.ipynb")))
        raise ParametersError(f"{run.source}: no such chapter; there are {known}")
    began = time.time()
    run.folder.mkdir(parents=True, exist_ok=True)
    for stale in (run.folder / "results.json", run.copy(), run.copy(".running"), run.copy(".failed")):
        stale.unlink(missing_ok=True)
    values = _parameters(run)

    run_id = uuid.uuid4().hex[:12]
    os.environ[RUN_ID_VARIABLE] = run_id
    interactive = sys.stderr.isatty()
    if not interactive:
        os.environ.setdefault("TQDM_MININTERVAL", "30")  # else progress bars flood batch logs and executed copies
    failure = ""
    try:
        papermill.execute_notebook(
            run.source,
            run.copy(".running"),
            parameters=values,
            kernel_name="python3",
            cwd=run.book,
            progress_bar=interactive,
            execution_timeout=run.cell_timeout_s,
            extra_arguments=["--log-level=CRITICAL"],  # an interrupted kernel finds its sockets closed
        )
    except PapermillExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        failure = "DeadKernelError: the kernel died (killed, out of memory, or crashed)"
    except CellTimeoutError:
        failure = f"CellTimeoutError: the cell ran longer than {run.cell_timeout_s} s"
    finally:
        del os.environ[RUN_ID_VARIABLE]

    notebook = nbformat.read(run.copy(".running"), as_version=4)
    failure = failure or _unfinished(notebook, run, run_id)
    if not failure:
        os.utime(run.copy(".running"), (began, began))  # what was edited meanwhile is newer, and make runs it
        run.copy(".running").replace(run.copy())
        return run.copy()

    where = _mark_failure(notebook, failure)
    nbformat.write(notebook, run.copy(".running"))
    run.copy(".running").replace(run.copy(".failed"))
    (run.folder / "results.json").unlink(missing_ok=True)
    raise ChapterFailed(f"chapter {run.name} failed at {where}\n  {failure}\n  traceback: {run.copy('.failed')}")


def _parameters(run: ChapterRun) -> dict[str, object]:
    """The params file's values, and the profile's own run and data folders where the file sets none."""
    declared = declared_parameters(run.source)
    data = os.path.relpath(run.data, run.book) if run.data else None
    values = read_parameters(run.params / run.profile / f"{run.name}.yaml", declared, data)
    folders = {"run_dir": run.runs / run.profile, "data_dir": Path("data") / run.profile}
    for name, folder in folders.items():
        if name in declared:
            values.setdefault(name, os.path.relpath(folder, run.book))
    return values


def _unfinished(notebook: nbformat.NotebookNode, run: ChapterRun, run_id: str) -> str:
    """Why a run without an exception is not done after all; empty when it is."""
    marker = END_MARKER.format(name=run.name, run_id=run_id)
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    if marker not in printed:
        return "ended before its last cell: no end marker (sys.exit midway, or no chapter.finish() in the last cell)"
    try:
        results = json.loads((run.folder / "results.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        return f"no readable results.json: {error}"
    if results.get("finished") is not True or results.get("run_id") != run_id:
        return "results.json is not of this run, or not finished"
    return ""


def _mark_failure(notebook: nbformat.NotebookNode, failure: str) -> str:
    """Correct what papermill says of each cell, and return the failing cell in words.

    The failing cell is the last one that papermill started; all after it were not run, whatever their status says.
    """
    own = [cell for cell in notebook.cells if "papermill" in cell.metadata]  # not papermill's error banners
    started = [cell for cell in own if cell.metadata.papermill.get("start_time")]
    for cell in own:
        if not cell.metadata.papermill.get("start_time"):
            cell.metadata.papermill.update(status=NOT_RUN, exception=None, end_time=None, duration=None)
            cell.metadata.tags = [*cell.metadata.get("tags", []), "not-run"]
    if not started:
        return "start-up: no cell was run"
    failing = started[-1]
    failing.metadata.papermill.update(status="failed", exception=True)
    notebook.metadata.papermill["exception"] = True
    if failing.cell_type == "code" and not any(o.output_type == "error" for o in failing.outputs):
        name, _, value = failure.partition(": ")
        failing.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=value, traceback=[failure]))
    source_cells = [c for c in own if "injected-parameters" not in c.metadata.get("tags", [])]
    first_line = next(iter(failing.source.splitlines()), "")
    if failing not in source_cells:
        return f"the injected parameters: {first_line}"
    return f"cell {source_cells.index(failing)} of the chapter (the first is 0): {first_line}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="name of a notebook in book/, without suffix")
    parser.add_argument("--profile", default=DEFAULTS, help=f"folder of params/ (default: {DEFAULTS})")
    parser.add_argument("--data", help="folder that stands for ${DATA} in the params files")
    parser.add_argument("--cell-timeout", type=int, metavar="SECONDS", help="longest run of one cell (default: none)")
    for folder in ("book", "params", "runs"):
        parser.add_argument(f"--{folder}", type=Path, default=Path(folder), help=f"default: {folder}/")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # Ctrl-C leaves it tasks that nobody asks for
    run = ChapterRun(given.chapter, given.profile, given.book, given.params, given.runs, given.data, given.cell_timeout)
    logger.info("[%s] chapter %s: running", run.profile, run.name)
    clock = time.monotonic()
    try:
        check_profile(run.params, run.profile, run.book, run.data)
        with interruption_told("interrupted; the same command goes on: checkpoints and finished runs are kept"):
            run_chapter(run)
    except (ParametersError, ChapterFailed, FileNotFoundError) as error:
        logger.error("[%s] chapter %s: FAILED after %.0f s\n%s", run.profile, run.name, time.monotonic() - clock, error)
        return 1
    logger.info("[%s] chapter %s: done in %.0f s", run.profile, run.name, time.monotonic() - clock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
