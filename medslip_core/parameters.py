"""Parameters that refuse what they do not know: dataclasses whose fields carry meaning, unit and range.

A run started from a file or a notebook stops at once, naming every unknown name (with the nearest valid one), every
value of the wrong type and every value out of range, and not hours later or never.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from medslip_core.files import write_whole


class ParameterError(ValueError):
    """One or more parameters are unknown, of the wrong type or out of range; the message lists all of them."""


def nearest(name: Any, known: Iterable[str]) -> str:
    """That of the known names, of which there is one at least, which is most like another."""
    return difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]


def parameter(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    may_change: bool = False,
) -> Any:
    """A dataclass field with its meaning (and unit), its range, and whether a resumed run may change it.

    Args:
        default: its value where none is given, or what makes it: `dict`, `list`, a class, a function.
    """
    metadata = dict(meaning=meaning, low=low, high=high, choices=choices, may_change=may_change)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Parameters:
    """Base of parameter dataclasses: checks itself on construction, reads from and writes to plain dictionaries."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for field, hint in _fields(type(self)):
            value, problem = _checked(getattr(self, field.name), hint, field.metadata)
            if problem:
                problems.append(f"{field.name}: {problem}")
            object.__setattr__(self, field.name, value)
        if problems:
            raise ParameterError("; ".join(problems))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> typing.Self:
        """Build from names and plain values (as read from YAML or JSON).

        Raises:
            ParameterError: not named values; or listing every unknown name with the nearest valid one, and every bad
                value.
        """
        named_values(values, cls.__name__)
        known = [field.name for field in dataclasses.fields(cls)]
        problems = []
        for name in values:
            if name not in known:
                problems.append(f"{name}: unknown parameter; the nearest valid name is {nearest(name, known)}")
        try:
            parameters = cls(**{name: value for name, value in values.items() if name in known})
        except ParameterError as error:
            problems.append(str(error))
        if problems:
            raise ParameterError("; ".join(problems))
        return parameters

    def to_dict(self) -> dict[str, Any]:
        """Names and plain values, nested dictionaries for nested parameters; JSON can hold it."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


class FiledParameters(Parameters):
    """Base of parameters that name paths: written relative to their file, so that a folder can move elsewhere."""

    @staticmethod
    def with_paths(values: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        """The same values, with every path in them changed."""
        raise NotImplementedError

    @classmethod
    def read(cls, file: Path) -> typing.Self:
        """From YAML or JSON.

        Raises:
            ParameterError: not named values, or see `from_dict`.
        """
        values = cls.from_dict(read_values(file)).to_dict()  # so that what is walked for paths is known to be sound
        return cls.from_dict(cls.with_paths(values, lambda place: str(file.parent / place)))

    def write(self, file: Path) -> None:
        """As JSON."""
        folder = os.path.realpath(file.parent)  # a link on the way would lead `..` elsewhere
        values = self.with_paths(self.to_dict(), lambda place: os.path.relpath(os.path.realpath(place), folder))
        write_whole(file, json.dumps(values, indent=1).encode())


def named_values(value: Any, what: str) -> Mapping[str, Any]:
    """The value itself, where it is a set of named values.

    Args:
        what: such values are, for the message.

    Raises:
        ParameterError: naming what was given instead.
    """
    if not isinstance(value, Mapping):
        raise ParameterError(f"{value!r} is not a set of named values ({what})")
    return value


def read_values(path: Path) -> dict[str, Any]:
    """Named values from a file: JSON if its name ends so, as YAML takes its 1e-05 for text, else YAML.

    Raises:
        ParameterError: it holds none, or is not JSON.
        FileNotFoundError: there is no such file.
    """
    import yaml

    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ParameterError(f"not readable as JSON ({error})") from error
    else:
        values = yaml.safe_load(path.read_text())
    if not isinstance(values, dict):
        raise ParameterError("holds no named values")
    return values


def listed(kind: type[Parameters], indent: str = "  ") -> str:
    """The parameters of a class as YAML, one a line, each with its default and meaning, for the help of a command."""
    lines = []
    for field, hint in _fields(kind):
        meaning, choices = field.metadata["meaning"], field.metadata["choices"]
        told = f"# {meaning} ({', '.join(choices)})" if choices else f"# {meaning}"
        if isinstance(hint, type) and issubclass(hint, Parameters):
            lines += [f"{indent}{field.name}:  {told}", listed(hint, indent + "  ")]
            continue
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        shown = _with_point(default) if isinstance(default, float) else json.dumps(default)
        lines.append(f"{indent}{field.name}: {shown}  {told}")
    return "\n".join(lines)


def _fields(cls: type) -> list[tuple[dataclasses.Field, Any]]:
    hints = typing.get_type_hints(cls)
    return [(field, hints[field.name]) for field in dataclasses.fields(cls)]


def _checked(value: Any, hint: Any, metadata: Mapping[str, Any]) -> tuple[Any, str]:
    """The value as its type (list to tuple, int to float), and what is wrong with it ('' if nothing)."""
    if isinstance(hint, types.UnionType):  # X | None
        if value is None:
            return value, ""
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if isinstance(hint, type) and issubclass(hint, Parameters):
        if isinstance(value, hint):
            return value, ""
        try:
            return hint.from_dict(value), ""
        except ParameterError as error:
            return value, str(error)
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        is_range = parts[-1] is not Ellipsis
        if not isinstance(value, list | tuple) or is_range and len(value) != len(parts):
            return value, f"{value!r} is not a list" + (f" of {len(parts)} values" if is_range else "")
        checked = [_checked(one, parts[0], metadata) for one in value]
        problems = [problem for _, problem in checked if problem]
        if not problems and is_range and list(value) != sorted(value):
            problems = [f"{value!r}: the lower value comes first"]
        return tuple(one for one, _ in checked), ", ".join(problems)
    return _checked_scalar(value, typing.get_origin(hint) or hint, metadata)


def _with_point(number: str) -> str:
    """A number so that YAML takes it for one: "1.0e-05" where Python says 1e-05."""
    mantissa, e, exponent = repr(float(number)).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}"


def _checked_scalar(value: Any, kind: type, metadata: Mapping[str, Any]) -> tuple[Any, str]:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        hint = (
            f" (write {_with_point(value)}: YAML reads {value} as text)" if kind is float and _is_number(value) else ""
        )
        return value, f"{value!r} is {type(value).__name__}, not {kind.__name__}{hint}"
    if kind is float and not math.isfinite(value):
        return value, f"{value!r} is not finite"
    low, high, choices = (metadata.get(name) for name in ("low", "high", "choices"))
    if choices and value not in choices:
        return value, f"{value!r} is none of {', '.join(choices)}; the nearest is {nearest(value, choices)}"
    if low is not None and value < low or high is not None and value > high:
        bounds = f"from {low}" + (f" to {high}" if high is not None else " upwards")
        return value, f"{value!r} is out of range ({bounds})"
    return value, ""


def _plain(value: Any) -> Any:
    if isinstance(value, Parameters):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return isinstance(text, str)
