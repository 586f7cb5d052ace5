"""Atomic writes: the former file or the complete new one, never a part."""

from pathlib import Path

import pytest

from gatewise.vocab.atomic_files import atomic_write, replace_folder
from gatewise.vocab.errors import OutputError


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("former")
    with atomic_write(path) as temporary:
        temporary.write_text("complete")
        assert path.read_text() == "former"
        assert temporary.parent == tmp_path
    assert path.read_text() == "complete"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.txt"
    path.write_text("former")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_only_plain_files_are_replaced(tmp_path: Path) -> None:
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
def test_a_folder_is_replaced(tmp_path: Path, *, earlier: bool) -> None:
    target, new, old = (tmp_path / name for name in ("target", "new", "old"))
    new.mkdir()
    (new / "a").touch()
    if earlier:
        target.mkdir()
    replace_folder(target, new, old)
    assert [path.name for path in target.iterdir()] == ["a"]
    assert old.exists() is earlier


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "target", tmp_path / "missing", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
