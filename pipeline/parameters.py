"""The contract between a chapter's parameters cell and a params/<profile>/<chapter>.yaml file.

papermill only warns about an unknown name, and takes any value; here both are errors that name file, key and remedy.
"""

import ast
import io
import json
import tokenize
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medslip_core.parameters import nearest


class ParametersError(ValueError):
    """A params file does not fit its chapter."""


DEFAULTS = "demo"
"""The profile that is the chapters' own defaults."""


@dataclass(frozen=True)
class Parameter:
    """One statement of a parameters cell: `name: annotation = default  # comment`."""

    name: str
    annotation: object
    default: object
    comment: str


def declared_parameters(notebook_path: Path) -> dict[str, Parameter]:
    """Read the typed literals of a chapter's parameters cell.

    Raises:
        ParametersError: no such cell, or a line in it that is not `name: type = literal`.
    """
    cells = json.loads(notebook_path.read_text())["cells"]  # importing nbformat takes two seconds
    code = (cell for cell in cells if cell["cell_type"] == "code")
    cell = next((cell for cell in code if "parameters" in cell["metadata"].get("tags", [])), None)
    if cell is None:
        raise ParametersError(f'{notebook_path}: no code cell is tagged "parameters"; tag the first one')
    source = "".join(cell["source"])
    lines = source.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    declared: dict[str, Parameter] = {}
    for node in ast.parse(source).body:
        try:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
                raise ValueError("no such line")
            annotation = _annotation(ast.unparse(node.annotation))
            default = ast.literal_eval(node.value)
        except (ValueError, NameError) as error:
            line = lines[node.lineno - 1]
            raise ParametersError(
                f"{notebook_path}: the parameters cell may hold only `name: type = literal` lines, not {line!r}"
            ) from error
        comment = comments.get(node.lineno) or comments.get(node.end_lineno, "")
        declared[node.target.id] = Parameter(node.target.id, annotation, default, comment)
    return declared


def check_profile(params: Path, profile: str, book: Path, data: str | None = None) -> None:
    """Check that a profile is there and each of its files fits its chapter, before anything long runs.

    Args:
        params: folder of the profiles.
        profile: one of them, or "demo", which may have none: it is the chapters' defaults.
        book: folder of the chapters.
        data: folder that stands for ${DATA}, which must be there too.

    Raises:
        ParametersError: no such profile or folder of data; or what is wrong with its files, one line each.
    """
    if data and not Path(data).is_dir():
        raise ParametersError(f"DATA={data}: no such folder; it should hold the data sets that {profile} reads")
    folder = params / profile
    if not folder.is_dir():
        if profile == DEFAULTS:
            return
        known = sorted({DEFAULTS, *(path.name for path in params.glob("*") if path.is_dir())})
        raise ParametersError(
            f"{folder}: no such profile; there are {', '.join(known)} (a folder there makes one more)"
        )
    chapters = sorted(path.stem for path in book.glob("*.ipynb"))
    problems = []
    for path in sorted(folder.glob("[!.]*")):
        if path.name not in {f"{chapter}.yaml" for chapter in chapters}:
            problems.append(f"{path}: belongs to no chapter; did you mean {nearest(path.stem, chapters)}.yaml?")
            continue
        try:
            read_parameters(path, declared_parameters(book / f"{path.stem}.ipynb"), data)
        except ParametersError as error:
            problems.append(str(error))
    if problems:
        raise ParametersError("\n".join(problems))


def read_parameters(params_path: Path, declared: dict[str, Parameter], data: str | None = None) -> dict[str, object]:
    """Read a params file and check every key and value against the chapter.

    Args:
        params_path: YAML mapping of only what differs from the chapter's defaults; a missing file means none does.
        declared: what `declared_parameters` found in the chapter.
        data: stands for ${DATA} in text values.

    Raises:
        ParametersError: unknown name, wrong type, not a mapping, or ${DATA} without data.
    """
    if not params_path.is_file():
        return {}
    try:
        given = yaml.safe_load(params_path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ParametersError(f"{params_path}: not readable as YAML: {error}") from error
    if not isinstance(given, dict):
        raise ParametersError(f"{params_path}: expected `name: value` lines, found a {type(given).__name__}")
    for name in given:
        if name not in declared:
            remedy = f"did you mean {nearest(name, declared)!r}?" if declared else "the chapter has no parameters"
            raise ParametersError(f"{params_path}: the chapter has no parameter {name!r}; {remedy}")
    values = {name: _expand(value, data, params_path, name) for name, value in given.items()}
    for name, value in values.items():
        check_value(value, declared[name], params_path)
    return values


def check_value(value: object, parameter: Parameter, origin: Path) -> None:
    """Raise ParametersError unless the value has the type that the parameters cell states."""
    if _fits(value, parameter.annotation):
        return
    wanted = getattr(parameter.annotation, "__name__", None) if isinstance(parameter.annotation, type) else None
    hint = ""
    if isinstance(value, str) and _fits(0.0, parameter.annotation):
        hint = "; YAML reads 1e-4 as text, write 1.0e-4"
    raise ParametersError(
        f"{origin}: parameter {parameter.name!r} must be {wanted or parameter.annotation}, "
        f"found {value!r} ({type(value).__name__}){hint}"
    )


def _annotation(text: str) -> object:
    """Evaluate an annotation made of built-in types, `list[...]`, `dict[...]` and unions."""
    builtins = {t.__name__: t for t in (int, float, str, bool, list, dict)}
    return eval(text, {"__builtins__": {}}, builtins)  # the chapter's own source, and only these names


def _fits(value: object, annotation: object) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, option) for option in arguments)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        key, item = arguments
        return isinstance(value, dict) and all(_fits(k, key) and _fits(v, item) for k, v in value.items())
    if annotation is None or annotation is types.NoneType:
        return value is None
    if annotation in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if annotation is float else annotation)


def _expand(value: object, data: str | None, params_path: Path, name: str) -> object:
    if isinstance(value, list):
        return [_expand(item, data, params_path, name) for item in value]
    if isinstance(value, dict):
        return {key: _expand(item, data, params_path, name) for key, item in value.items()}
    if not isinstance(value, str) or "${DATA}" not in value:
        return value
    if not data:
        raise ParametersError(
            f"{params_path}: parameter {name!r} is {value!r}, and no data folder was given: add DATA=folder to make"
        )
    return value.replace("${DATA}", data)


def study_parameters(results: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in a chapter's results.json that decide what is studied: not the seed, nor where it is written."""
    return {name: value for name, value in results["parameters"].items() if name not in ("seed", "run_dir")}
