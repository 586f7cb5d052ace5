import subprocess
import sys

import pytest

from gatewise.training.workspace import ALL_ROWS, open_workspace, workspace_of
from gatewise.vocab.errors import GatewiseError


def interrupted(out, error, *, checkpoint):
    """Opens a workspace, writes to it, and leaves it by an error."""
    with open_workspace(out) as space:
        assert space.path == out.with_name("model.run")
        (space.data / "rows").write_text("x")
        if checkpoint:
            space.checkpoint.write_text("state")
        raise error


def test_the_checkpoint_of_an_interrupted_run_stays_and_its_data_does_not(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "model", KeyboardInterrupt, checkpoint=True)
    space = workspace_of(tmp_path / "model")
    assert [path.name for path in space.path.iterdir()] == ["checkpoint.npz"]
    with open_workspace(tmp_path / "model") as space:
        assert space.checkpoint.read_text() == "state"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="x"):
        interrupted(tmp_path / "model", ValueError("x"), checkpoint=False)
    assert list(tmp_path.iterdir()) == []


def test_a_new_run_clears_what_another_left_but_for_its_checkpoint(tmp_path):
    """Which it replaces by its own, once it has one: a mistyped command must not lose it."""
    space = workspace_of(tmp_path / "model")
    space.data.mkdir(parents=True)
    for name in ("checkpoint.npz", ".checkpoint.npz.1234.partial", "data/train.arrow", "lock"):
        (space.path / name).write_text("left by a process that was killed")
    (space.data / ALL_ROWS).mkdir()

    def mistyped():
        with open_workspace(tmp_path / "model") as space:
            names = sorted(path.name for path in space.path.iterdir())
            assert names == ["checkpoint.npz", "data", "lock"]
            assert list(space.data.iterdir()) == []
            raise FileNotFoundError("no such corpus")

    with pytest.raises(FileNotFoundError, match="no such corpus"):
        mistyped()
    assert [path.name for path in space.path.iterdir()] == ["checkpoint.npz"]


def test_a_second_run_is_kept_out_and_the_first_continues(tmp_path):
    def second():
        with open_workspace(tmp_path / "model"):
            pytest.fail("both are in")

    with open_workspace(tmp_path / "model") as space:
        (space.data / "train.arrow").write_text("x")
        with pytest.raises(GatewiseError, match=r"model\.run: another run is writing the same"):
            second()
        assert (space.data / "train.arrow").read_text() == "x"
    assert list(tmp_path.iterdir()) == []


def test_the_lock_ends_with_a_process_that_is_killed(tmp_path):
    code = (
        "import pathlib, sys, time\n"
        "from gatewise.training.workspace import open_workspace\n"
        "with open_workspace(pathlib.Path(sys.argv[1])) as space:\n"
        "    space.checkpoint.write_text('state')\n"
        "    print('in', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "model"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        with pytest.raises(GatewiseError, match="another run"), open_workspace(tmp_path / "model"):
            pytest.fail("both are in")
        process.kill()
    with open_workspace(tmp_path / "model") as space:
        assert space.checkpoint.read_text() == "state"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["data/train.csv", "novel.txt"])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path, name):
    file = workspace_of(tmp_path / "model").path / name
    file.parent.mkdir(parents=True)
    file.write_text("x")
    with (
        pytest.raises(GatewiseError, match=rf"the folder holds '{name}': move it away"),
        open_workspace(tmp_path / "model"),
    ):
        pass
    assert file.read_text() == "x"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "model.run").write_text("x")
    with (
        pytest.raises(GatewiseError, match=r"model\.run: expected a folder .*, but it is a file"),
        open_workspace(tmp_path / "model"),
    ):
        pass
