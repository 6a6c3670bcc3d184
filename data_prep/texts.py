"""Report files below a folder, or inside a .zip or .tgz: read by their name, never unpacked onto the disk."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import DataError, RecordError
from data_prep.tables import as_option

MAX_BYTES = 1 << 20
"""Longest text that is read; a radiology report has a few thousand characters."""

MAX_TAR_BYTES = 1 << 30
"""Longest content of a tar that is gone through."""

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


class TextFiles:
    """The text files of a folder, a zip or a tar, by their path in it ("files/p10/p10000032/s50414267.txt").

    A zip is read member by member when asked for. A tar has no index, so its texts are taken into memory at once.

    Args:
        path: the folder or archive.

    Raises:
        DataError: not there, or an archive that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._tar: dict[str, bytes] | None = None
        if path.is_dir():
            return
        if not path.is_file():
            problem = "no such folder or archive"
            if not path.is_absolute():
                problem += f"; {as_option('reports')} is {str(path)!r}, seen from {Path.cwd()}"
            raise DataError(path.absolute(), problem, f"Download it, or correct {as_option('reports')}.")
        try:
            if zipfile.is_zipfile(path):
                self._zip = zipfile.ZipFile(path)
            else:
                self._tar = dict(_tar_texts(path))
        except DataError:
            raise
        except DAMAGED as error:
            problem = f"neither a folder nor a zip or tar that can be read ({type(error).__name__})"
            raise DataError(path, problem, "Download it again.") from error

    def names(self) -> list[str]:
        """The paths of all files, sorted."""
        if self._zip is not None:
            return sorted(member.filename for member in self._zip.infolist() if not member.is_dir())
        if self._tar is not None:
            return sorted(self._tar)
        return sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())

    def __contains__(self, name: str) -> bool:
        if self._zip is not None:
            return name in self._zip.NameToInfo
        return name in self._tar if self._tar is not None else (self.path / name).is_file()

    def read(self, name: str) -> str:
        """The text of one file.

        Raises:
            RecordError: not there, too long, damaged, encrypted, or not UTF-8.
        """
        place, again = f"{self.path}: {name}", "Download it again; this record is set aside."
        if name not in self:
            raise RecordError(place, "no such report", f"Download it, or name the reports: {as_option('reports')}.")
        try:
            content = self._bytes(name)
            if len(content) > MAX_BYTES:
                raise RecordError(place, f"a text of more than {MAX_BYTES} bytes", again)
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordError(place, f"not UTF-8 at byte {error.start}", again) from error
        except (RuntimeError, *DAMAGED) as error:  # zipfile raises RuntimeError where a password is asked for
            if isinstance(error, RecordError):
                raise
            raise RecordError(place, f"cannot be read ({type(error).__name__})", again) from error

    def _bytes(self, name: str) -> bytes:
        """At most one byte more than MAX_BYTES, whatever size is announced."""
        if self._tar is not None:
            return self._tar[name]
        with self._zip.open(name) if self._zip is not None else (self.path / name).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)


def _tar_texts(path: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    with tarfile.open(path) as archive:
        for member in archive:
            total += member.size
            if total > MAX_TAR_BYTES:
                raise DataError(
                    path, f"holds more than {MAX_TAR_BYTES} bytes", "Check that it is the reports' archive."
                )
            if member.isfile():
                yield member.name, archive.extractfile(member).read(MAX_BYTES + 1)
