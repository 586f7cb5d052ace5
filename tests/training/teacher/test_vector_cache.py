import numpy as np
import pytest

from gatewise.training.teacher.teacher import TeacherError
from gatewise.training.teacher.vector_cache import VectorCache, locked


class Counting:
    """A teacher whose vectors are lengths, and which counts what it reads."""

    fingerprint = "a" * 64
    width = 2

    def __init__(self):
        self.read = []

    def vectors(self, texts):
        self.read += texts
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_a_text_is_read_once_and_its_vector_kept(tmp_path):
    teacher, done = Counting(), []
    with locked(tmp_path / "cache"):
        cache = VectorCache(teacher, tmp_path / "cache")
        found = cache.vectors(["a", "bb", "a"], done.append)
        assert cache.vectors([], done.append).shape == (0, 2)
    assert found.tolist() == [[1, 1], [2, 1], [1, 1]]
    assert sum(done) == 3
    assert sorted(teacher.read) == ["a", "bb"]
    again = VectorCache(teacher, tmp_path / "cache")
    assert again.count_missing(["bb", "ccc"]) == 1
    assert again.vectors(["ccc", "bb"], done.append).tolist() == [[3, 1], [2, 1]]
    assert teacher.read == ["a", "bb", "ccc"]


@pytest.mark.parametrize(("name", "kept"), [("digests", 16 + 5), ("vectors", 4 + 1)])
def test_what_a_killed_run_left_incomplete_is_read_again(tmp_path, name, kept):
    with locked(tmp_path):
        VectorCache(Counting(), tmp_path).vectors(["a", "bb"], lambda _: None)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with (folder / name).open("rb+") as file:
        file.truncate(kept)
    teacher = Counting()
    cache = VectorCache(teacher, tmp_path)
    assert cache.vectors(["bb", "a"], lambda _: None).tolist() == [[2, 1], [1, 1]]
    assert teacher.read == ["bb"]


def test_two_runs_at_once_are_refused(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(TeacherError, match=r"another run.*teacher\.cache"),
        locked(tmp_path),
    ):
        pass
