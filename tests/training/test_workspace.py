import pytest

from training.workspace import beside, working
from vocab.errors import GatewiseError


def test_nothing_is_left_of_a_run_that_ended(tmp_path):
    with working(tmp_path / "model", resume=False) as space:
        assert space.path == tmp_path / "model.run"
        (space.data / "rows").write_text("x")
        space.checkpoint.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_of_an_interrupted_run_stays_and_its_data_does_not(tmp_path):

    def interrupted():
        with working(tmp_path / "model", resume=False) as space:
            (space.data / "rows").write_text("x")
            space.checkpoint.write_text("state")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    space = beside(tmp_path / "model")
    assert [path.name for path in space.path.iterdir()] == ["checkpoint.npz"]
    with working(tmp_path / "model", resume=True) as space:
        assert space.checkpoint.read_text() == "state"
    assert not space.path.exists()


def test_a_new_run_begins_without_the_checkpoint_of_another(tmp_path):
    space = beside(tmp_path / "model")
    space.data.mkdir(parents=True)
    for name in ("checkpoint.npz", ".checkpoint.npz.1234.partial", "data/rows"):
        (space.path / name).write_text("left by a process that was killed")
    with working(tmp_path / "model", resume=False) as space:
        assert [path.name for path in space.path.iterdir()] == ["data"]
        assert list(space.data.iterdir()) == []


def test_an_error_before_the_first_checkpoint_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="x"), working(tmp_path / "model", resume=False):
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_elses_is_refused_and_left_alone(tmp_path):
    (tmp_path / "model.run").mkdir()
    (tmp_path / "model.run" / "novel.txt").write_text("x")
    with (
        pytest.raises(GatewiseError, match=r"model\.run: .* it holds 'novel\.txt': move it away"),
        working(tmp_path / "model", resume=True),
    ):
        pass
    assert (tmp_path / "model.run" / "novel.txt").read_text() == "x"


def test_a_file_at_its_place_is_told(tmp_path):
    (tmp_path / "model.run").write_text("x")
    with (
        pytest.raises(GatewiseError, match=r"model\.run: Not a directory"),
        working(tmp_path / "model", resume=False),
    ):
        pass
