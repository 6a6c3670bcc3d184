"""Files that only grow, and a journal with a line for whatever was appended to them, so that a kill loses no line.

First the bytes are written, then the line that stands for them, with their digests and its own. What no intact line
stands for was being written when the run was killed; it is cut off when the run is taken up.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from data_prep.errors import DataError


class Journal:
    """Opens the files and locks the journal until it is closed; a journal that begins otherwise is begun anew.

    Args:
        path: of the journal; its folder is there.
        files: whose bytes its lines stand for; known by their names.
        asked: the first line: what all others depend on.

    Raises:
        DataError: another run is writing there.
    """

    def __init__(self, path: Path, files: Sequence[Path], asked: dict) -> None:
        self.path = path
        self._files = {file.name: file.open("ab+") for file in files}
        self._journal = path.open("ab+")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            remedy = "Wait for it, or name another folder."
            raise DataError(path.parent, "another run is writing here", remedy) from error
        for file in self._all():
            file.seek(0)
        if self._journal.readline() != _line(asked):
            self._ends = [0 for _ in self._all()]
            self.cut()
            _write(self._journal, _line(asked))
        self.keep()

    def close(self) -> None:
        """Closes the files and gives the journal free."""
        for file in (*self._files.values(), self._journal):
            file.close()

    def read(self) -> dict | None:
        """The next line; None if there is none, it is not whole, or the files lack the bytes that it stands for."""
        line = _read_line(self._journal.readline())
        return line if line and self._has_bytes(line) else None

    def keep(self) -> None:
        """Keeps what was read so far: `cut` cuts behind it."""
        self._ends = [file.tell() for file in self._all()]

    def cut(self) -> None:
        """Cuts off what is not kept, to go on from there."""
        for file, end in zip(self._all(), self._ends, strict=True):
            file.truncate(end)
            file.seek(end)

    def end(self, name: str) -> int:
        """Where the next bytes of a file will stand."""
        return self._files[name].tell()

    def append(self, line: dict, contents: Mapping[str, bytes]) -> None:
        """Appends bytes to every file, then the line that stands for them.

        Args:
            line: plain JSON.
            contents: the bytes by the files' names.
        """
        for name, content in contents.items():
            _write(self._files[name], content)
        stood_for = {name: (len(content), _digest(content)) for name, content in contents.items()}
        _write(self._journal, _line(line | {"bytes": stood_for}))

    def lines(self) -> Iterator[dict]:
        """All lines after the first, up to one that is not whole; nothing may be appended after that."""
        self._journal.seek(0)
        self._journal.readline()
        while line := _read_line(self._journal.readline()):
            yield line

    def _all(self) -> list[IO[bytes]]:
        return [self._journal, *self._files.values()]

    def _has_bytes(self, line: dict) -> bool:
        """Whether the files hold, from where they stand, the bytes that a line stands for; reads over them."""
        return all(_digest(self._files[name].read(size)) == digest for name, (size, digest) in line["bytes"].items())


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()


def _line(content: dict) -> bytes:
    """One line of the journal: its digest, then the content as JSON."""
    text = json.dumps(content).encode()
    return b"%s %s\n" % (_digest(text).encode(), text)


def _read_line(line: bytes) -> dict | None:
    """The content of a line of the journal; None if there is none, or not whole."""
    digest, _, text = line.removesuffix(b"\n").partition(b" ")
    return json.loads(text) if text and line.endswith(b"\n") and digest == _digest(text).encode() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
