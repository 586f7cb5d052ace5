"""Atomic writes: the former file or the complete new one, never a part."""

from pathlib import Path

import pytest

from gatewise.vocab.atomic_files import atomic_write, replace_folder
from gatewise.vocab.errors import OutputError


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_appears_when_it_is_complete_and_an_interrupted_write_leaves_nothing(
    tmp_path, error
):
    path = tmp_path / "out.txt"
    path.write_text("former")

    def write(*, stop):
        with atomic_write(path) as temporary:
            temporary.write_text("complete")
            assert (path.read_text(), temporary.parent) == ("former", tmp_path)
            if stop:
                raise error

    with pytest.raises(error):
        write(stop=True)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]
    write(stop=False)
    assert path.read_text() == "complete"
    assert list(tmp_path.iterdir()) == [path]


def test_only_plain_files_are_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(OutputError, match="not a plain file"), atomic_write(path):
            pass
    with (
        pytest.raises(OutputError, match="there is no folder"),
        atomic_write(tmp_path / "none" / "out"),
    ):
        pass


@pytest.mark.parametrize("earlier", [True, False])
def test_a_folder_is_replaced(tmp_path, *, earlier):
    target, new, old = (tmp_path / name for name in ("target", "new", "old"))
    new.mkdir()
    (new / "a").touch()
    if earlier:
        target.mkdir()
    replace_folder(target, new, old)
    assert [path.name for path in target.iterdir()] == ["a"]
    assert old.exists() is earlier


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "target", tmp_path / "missing", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
