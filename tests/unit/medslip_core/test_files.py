"""Files that a reader sees whole or not at all."""

import os
import threading
from pathlib import Path

import pytest

from medslip_core.files import write_whole


def test_machines_whose_processes_have_the_same_number_do_not_tear_a_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    file, contents = tmp_path / "shared", [bytes([letter]) * 200_000 for letter in b"ab"]
    faults = []

    def write(content: bytes) -> None:
        try:
            for _ in range(100):
                write_whole(file, content, flush=False)
        except OSError as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    write(contents[0])
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert file.read_bytes() in contents
    assert not faults and list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "taken", b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
