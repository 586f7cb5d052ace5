"""`gatewise tune` as a user meets it."""

import functools
import json
import signal
import subprocess
import sys

import pytest

BASE = [
    part
    for setting in (
        "tokens.unit=character",
        "tokens.max_length=32",
        "network.embedding_size=4",
        "network.buckets=50",
        "training.epochs=3",
    )
    for part in ("--set", setting)
]
SPACE = "[network]\nunits = [2, 4, 8]\n\n[training]\nlearning_rate = {low = 1e-3, high = 1e-2}\n"


def command(*arguments):
    return [sys.executable, "-m", "gatewise", "tune", *map(str, arguments)]


@pytest.fixture
def tune(gatewise):
    return functools.partial(gatewise, "tune")


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE, encoding="utf-8")
    return path


@pytest.fixture
def arguments(languages, space, tmp_path):
    corpora = (languages / "test.csv", "--validation", languages / "validation.csv")
    return (*corpora, "--out", tmp_path / "search", "--space", space, *BASE)


def test_a_search_that_was_killed_is_resumed(tune, arguments, tmp_path):
    # A killed process says nothing more: it is killed as soon as its first trial has ended.
    with subprocess.Popen(
        command(*arguments, "--trials", 3), stderr=subprocess.PIPE, encoding="utf-8"
    ) as run:
        first = next(line for line in run.stderr if line.startswith("trial 1: "))
        run.send_signal(signal.SIGKILL)
    assert first.startswith("trial 1: complete ")
    code, _, stderr = tune(*arguments, "--trials", 3)
    assert code == 1
    assert "holds a search that reached trial 1: resume it" in stderr
    code, stdout, stderr = tune(*arguments, "--trials", 2, "--resume", "--json")
    assert code == 0, stderr
    trials = [line for line in stderr.splitlines() if line.startswith("trial ")]
    assert [line.partition(":")[0] for line in trials] == ["trial 2"]
    found = json.loads(stdout)
    assert [trial["number"] for trial in found["trials"]] == [1, 2]
    assert found["best"]["value"] == max(trial["value"] for trial in found["trials"])
    assert found["model"] == str(tmp_path / "search" / "best")
    assert set(found["best"]["settings"]) == {"network.units", "training.learning_rate"}
    code, stdout, _ = tune(*arguments, "--trials", 2, "--resume")
    assert code == 0
    assert f"best of 2 trials: {found['best']['number']} (validation accuracy 0." in stdout
    assert f"its settings to {tmp_path / 'search' / 'best.toml'}" in stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[network]\nunit = [4]", "unknown setting 'network.unit'"),
        ("[network]\nunits = [4, 0]", "setting network.units: input should be"),
        ("[network", "not valid TOML"),
    ],
)
def test_a_bad_space_is_one_line_before_anything_is_done(
    tune, arguments, space, tmp_path, text, message
):
    space.write_text(text, encoding="utf-8")
    code, stdout, stderr = tune(*arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"gatewise: error: {space}: ")
    assert message in stderr
    assert stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["space.toml"]


def test_the_space_is_not_written_over(tune, languages, space, tmp_path):
    code, _, stderr = tune(languages / "test.csv", "--out", space, "--space", space)
    assert code == 1
    assert "choose another path" in stderr
    assert space.read_text(encoding="utf-8") == SPACE


@pytest.mark.parametrize(
    "wrong", [("--trials", "0"), ("--time-budget", "soon"), ("--time-budget", "30")]
)
def test_wrong_usage_exits_with_2(tune, arguments, wrong):
    code, _, stderr = tune(*arguments, *wrong)
    assert code == 2
    assert "Usage: " in stderr


def test_the_space_is_checked_without_tensorflow(space, tmp_path, languages):
    space.write_text("[network]\nunits = [0]", encoding="utf-8")
    script = (
        "import sys\n"
        "from gatewise.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print(*sys.modules)\n"
    )
    arguments = ["tune", languages / "test.csv", "--out", tmp_path / "o", "--space", space]
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    loaded = set(ended.stdout.split())
    assert "gatewise.training" in loaded
    assert not loaded & {"tensorflow", "keras", "mlflow", "tensorboard"}
