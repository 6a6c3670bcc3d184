"""A JSON object too large to hold: where each of its members stands in the file, found by one pass through it."""

import json
import re
from codecs import BOM_UTF8
from pathlib import Path
from typing import IO

from data_prep.errors import DataError

BLOCK_BYTES = 1 << 20
"""Bytes that are read at a time."""

MAX_MEMBER_BYTES = 64 << 20
"""Longest member that is read: thousands of times an annotated report."""

_BLANKS = re.compile(r"[ \t\r\n]*")
_BEHIND = tuple(" \t\r\n:,}")
"""One of these follows a name or a value that is complete: of a number, only a part may have been read."""

_DECODER = json.JSONDecoder()


class JsonMembers:
    """The members of the one object in a JSON file, each read when asked for; only their places are held.

    Args:
        path: the file.

    Attributes:
        places: name -> first byte of its value, and how many bytes it has.

    Raises:
        DataError: not there, not JSON to its end, not an object, a name twice or a member too long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[str, tuple[int, int]] = {}
        try:
            with path.open("rb") as file:
                self._find(_Scan(file))
        except FileNotFoundError as error:
            raise DataError(path, "no such file", "Download it, or name the file that you have.") from error
        except (ValueError, RecursionError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(path, f"not readable as JSON ({error})", "Download it again.") from error

    def read(self, name: str) -> bytes:
        """The value of one member, as it stands in the file."""
        start, length = self.places[name]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def _find(self, scan: "_Scan") -> None:
        if scan.mark() != "{":
            raise ValueError("it does not begin with {, as an object of documents does")
        mark = ","
        while mark == ",":
            if not self.places and scan.ahead() == "}":
                scan.mark()
                break
            name = json.loads(scan.value()[2])
            if not isinstance(name, str) or scan.mark() != ":":
                raise ValueError(f"no name and colon before byte {scan.place}")
            start, length, _ = scan.value()
            if name in self.places:
                raise DataError(self.path, f"{name!r} is there twice", "Keep one of the two.")
            self.places[name] = start, length
            mark = scan.mark()
            if mark not in (",", "}"):
                raise ValueError(f"neither a comma nor the end of the object before byte {scan.place}")
        if scan.ahead():
            raise ValueError(f"more behind the object, at byte {scan.place}")


class _Scan:
    """Goes through a JSON file, of which it holds one member.

    Bytes are taken for characters (Latin-1), so that places are counted in bytes: all marks of JSON are ASCII, and no
    byte of a longer UTF-8 character is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        marked = file.read(len(BOM_UTF8)) == BOM_UTF8  # what some programs put before UTF-8
        self._file, self._text, self._at, self._before = file, "", 0, len(BOM_UTF8) if marked else 0
        file.seek(self._before)

    @property
    def place(self) -> int:
        """Byte of the file that comes next."""
        return self._before + self._at

    def ahead(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def mark(self) -> str:
        """Takes the next character that is not blank."""
        mark = self.ahead()
        self._at += len(mark)
        return mark

    def value(self) -> tuple[int, int, bytes]:
        """Takes a value: its first byte, how many it has, and these."""
        self.ahead()
        while True:
            try:
                length = _DECODER.raw_decode(self._text, self._at)[1] - self._at
            except json.JSONDecodeError as error:
                fault = f"{error.msg} at byte {self._before + error.pos}"
                if not self._more():
                    raise ValueError(fault) from error
            else:
                if self._text[self._at + length : self._at + length + 1] in _BEHIND or not self._more():
                    break
        end = self._at + length
        start, content = self.place, self._text[self._at : end].encode("latin-1")
        self._at = end
        return start, length, content

    def _more(self) -> bool:
        """Reads on, as much again as it holds; whether there was more."""
        self._text, self._before, self._at = self._text[self._at :], self.place, 0
        if len(self._text) > MAX_MEMBER_BYTES:
            raise ValueError(f"no end of what begins at byte {self._before} within {MAX_MEMBER_BYTES} bytes")
        more = self._file.read(max(BLOCK_BYTES, len(self._text))).decode("latin-1")
        self._text += more
        return bool(more)
