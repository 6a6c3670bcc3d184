"""What a notebook uses to take part in the study: its run folder, its inputs, its numbers, tables and results file.

The same in JupyterLab and under `pipeline.run_chapter`. A chapter counts as done only when `finish()` has written its
results.json; starting a chapter again takes that away first, so no reader ever sees results of a run under way.
"""

import json
import math
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from IPython.display import display
from pandas.io.formats.style import Styler

from medslip_core.allocator import keep_freed_memory
from medslip_core.files import write_whole
from medslip_core.provenance import environment_record, environment_summary
from pipeline.parameters import declared_parameters

RUN_ID_VARIABLE = "MEDSLIP_RUN_ID"  # set by run_chapter; absent when a person runs the cells
END_MARKER = "Chapter {name} finished (run {run_id})"


class ChapterNotFinished(RuntimeError):
    """A chapter needs another chapter's results, and these are not there."""


class Chapter:
    """One chapter's run: opens the run folder on construction, closes it with `finish()` in the last cell.

    Args:
        name: the notebook's name without suffix, e.g. "zero_shot".
        variables: the notebook's `globals()`. Those that its parameters cell declares are recorded in results.json
            ("seed" also by itself); `run_dir`, one of them, is the folder of the whole run, e.g. "../runs/demo", and
            the chapter's own is `run_dir/name`.

    Raises:
        FileNotFoundError: the working directory is not the notebook's, or that of an executed copy.
    """

    def __init__(self, name: str, variables: Mapping[str, object]) -> None:
        notebook = Path(f"{name}.ipynb")
        if not notebook.is_file():
            raise FileNotFoundError(
                f"{notebook} is not in {Path.cwd()}: a chapter runs in the folder of its notebook, to which its paths "
                "are relative (papermill: --cwd book)"
            )
        if Path("results.json").is_file():
            raise FileNotFoundError(
                f"{Path.cwd() / notebook} is the executed copy of a chapter, kept to be read: run the one in book/"
            )
        self.name = name
        self.parameters = {parameter: variables[parameter] for parameter in declared_parameters(notebook)}
        self.run_dir = Path(str(self.parameters["run_dir"]))
        self.folder = self.run_dir / name
        self.run_id = os.environ.get(RUN_ID_VARIABLE) or f"by-hand-{uuid.uuid4().hex[:12]}"
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._numbers: dict[str, dict[str, object]] = {}
        self._tables: dict[str, str] = {}
        self._inputs: dict[str, str] = {}

        (self.folder / "tables").mkdir(parents=True, exist_ok=True)
        # The executed copy goes too: it belongs to the results that end here, and make then knows to run it again.
        for stale in (self.folder / "results.json", self.folder / f"{name}.ipynb"):
            stale.unlink(missing_ok=True)
        keep_freed_memory()
        print(environment_summary(environment_record()))

    def input(self, chapter: str) -> Path:
        """The run folder of an earlier chapter.

        Raises:
            ChapterNotFinished: that chapter has not finished in this run folder.
        """
        results = self.run_dir / chapter / "results.json"
        if not results.is_file():
            raise ChapterNotFinished(
                f"{self.name} needs the results of {chapter}, and there is no {results}: "
                f"run the chapter {chapter} first (open {chapter}.ipynb and run all cells, or use make)"
            )
        self._inputs[chapter] = json.loads(results.read_text())["run_id"]
        return results.parent

    def parameters_of(self, chapter: str) -> dict[str, object]:
        """The parameters with which an earlier chapter ran in this run folder; errors as for `input`."""
        return json.loads((self.input(chapter) / "results.json").read_text())["parameters"]

    def number(
        self,
        name: str,
        value: float | int | str,
        form: str = "{}",
        *,
        interval: tuple[float, float] | None = None,
        headline: str | None = None,
        beside: str = "",
    ) -> None:
        """Record a number of this run, and glue it for the prose.

        Args:
            name: key for the prose, {glue:text}`name`, from another chapter {glue:text}`chapter.ipynb::name:s`; with an
                interval also `name_interval`.
            value: the number, or a short text.
            form: how it reads, as for `str.format`, e.g. "{:.3f}".
            interval: lower and upper bound of the 95 % interval; NaN where there is none to be given.
            headline: one line that says what the number is; with it the number stands on the book's first page.
            beside: what stands beside it there: what to compare the number with, or how it is to be taken.
        """
        text = form.format(value)
        record: dict[str, object] = {"value": _plain(value), "text": text}
        _glue(name, text)
        if interval is not None:
            record["interval"] = [_plain(bound) for bound in interval]
            undefined = any(math.isnan(bound) for bound in interval)
            record["interval_text"] = "no interval" if undefined else " to ".join(map(form.format, interval))
            _glue(f"{name}_interval", record["interval_text"])
        if headline is not None:
            record["headline"] = headline
        if beside:
            record["beside"] = beside
        self._numbers[name] = record

    def table(
        self, name: str, frame: pd.DataFrame, form: str = "{:.3f}", *, caption: str = "", once: Sequence[str] = ()
    ) -> Styler:
        """Write a result table as CSV and JSON into the chapter's folder, and return it styled for display.

        Args:
            name: file name without suffix, under `folder/tables/`.
            frame: tidy table; a default index is neither written nor shown.
            form: how float columns read.
            caption: what the table shows.
            once: columns that are said in the caption, and not shown, where they are the same in every row.
        """
        keep_index = not isinstance(frame.index, pd.RangeIndex)
        path = self.folder / "tables" / name
        frame.to_csv(path.with_suffix(".csv"), index=keep_index)
        records = frame.reset_index() if keep_index else frame
        records.to_json(path.with_suffix(".json"), orient="records", indent=1)
        self._tables[name] = f"tables/{name}.csv"
        same = {column: frame[column].iloc[0] for column in once if frame[column].nunique(dropna=False) == 1}
        caption = "; ".join([*filter(None, [caption]), *(f"{column}: {value}" for column, value in same.items())])
        shown = frame.drop(columns=list(same))
        if shown.index.name:  # it stands in the header's row, not in one of its own
            shown = shown.rename_axis(index=None, columns=shown.index.name)
        floats, integers = (list(shown.select_dtypes(kind).columns) for kind in ("floating", "integer"))
        forms = {**dict.fromkeys(floats, form), **dict.fromkeys(integers, "{:,}")}
        styled = Styler(shown, uuid=name, table_attributes='class="dataframe"').format(forms, na_rep="–")
        right = [{"selector": "", "props": "text-align: right"}]
        styled = styled.set_table_styles(dict.fromkeys(forms, right))
        styled = styled.set_caption(caption) if caption else styled
        return styled if keep_index else styled.hide(axis="index")

    def benchmark(self, name: str) -> dict[str, object]:
        """What a benchmark measured apart from this run: the repository's benchmarks/results/<name>.json."""
        return json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / f"{name}.json").read_text())

    def finish(self) -> None:
        """Write results.json and the end marker. Stands in the chapter's last cell."""
        write_json(
            self.folder / "results.json",
            {
                "chapter": self.name,
                "finished": True,
                "run_id": self.run_id,
                "started": self._started.isoformat(timespec="seconds"),
                "duration_s": round(time.monotonic() - self._clock, 1),
                "seed": self.parameters.get("seed"),
                "parameters": self.parameters,
                "inputs": self._inputs,
                "numbers": self._numbers,
                "tables": self._tables,
                "environment": environment_record(),
            },
        )
        print(END_MARKER.format(name=self.name, run_id=self.run_id))


def write_json(path: Path, content: object) -> None:
    """Write JSON so that a reader sees the old file or the whole new one, never a part."""
    write_whole(path, json.dumps(content, indent=1, default=str).encode())


def _plain(value: object) -> object:
    """A numpy or torch scalar as the Python number it holds; not-a-number as None, which JSON can say."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _glue(name: str, text: str) -> None:
    """Make a text available to {glue:text} in the prose: an invisible output that MyST-NB looks up by its name.

    Source: the output format of `myst_nb.glue`, not called itself: it loads the documentation builder into the kernel.
    """
    prefix = "application/papermill.record/"
    metadata = {"scrapbook": {"name": name, "mime_prefix": prefix}}
    display({prefix + "text/plain": repr(text)}, raw=True, metadata=metadata)
