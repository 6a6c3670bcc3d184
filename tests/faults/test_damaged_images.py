"""A damaged image is refused with path, reason and remedy; it is never filled up, and nothing else happens."""

import os
import re

import pytest
from faults.damaged_cases import REFUSED, TRUNCATED, WHOLE

from data_prep.errors import UnreadableImage
from data_prep.image import read_grey


def refusal(path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_grey(path)
    assert caught.value.where == str(path) and caught.value.remedy.endswith(".")
    return caught.value.problem


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_file_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name])
    assert read_grey(tmp_path / name).pixels.shape == (40, 48)


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_file_is_refused(tmp_path, name):
    file, share = TRUNCATED[name]
    (tmp_path / file).write_bytes(WHOLE[file][: int(len(WHOLE[file]) * share)])
    refusal(tmp_path / file)


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_file_is_refused(tmp_path, name):
    file, content, said = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    assert re.search(said, refusal(tmp_path / file))


def test_what_is_no_file_is_refused(tmp_path):
    for name in ("folder", "pipe", "loop", "dangling", "endless"):
        path = tmp_path / f"{name}.png"
        if name == "folder":
            path.mkdir()
        elif name == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to({"loop": path, "dangling": tmp_path / "gone.png", "endless": "/dev/zero"}[name])
        assert re.search("not a file|cannot be opened", refusal(path))
