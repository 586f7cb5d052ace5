"""Whatever a model folder holds, it is refused in one line, or it answers: nothing else happens.

Some hundred changes to a real folder, those of a failing disk and those of somebody who means
harm. Each is loaded and asked by a process of its own that is bounded in memory and time; the tree
around the folder is looked at before and after.
"""

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent / "hostile"
SECONDS = 60
"""No change takes a second; a busy machine may take its time."""


def part(name: str):
    """A module of the folder `hostile`, which is no package."""
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


folders, networks, dictionaries, zips, steps = map(
    part, ("folders", "networks", "dictionaries", "zips", "steps")
)


def resealed(cases):
    def then_reseal(change):
        def apply(path):
            change(path)
            folders.reseal(path)

        return apply

    return {name: then_reseal(change) for name, change in cases.items()}


MAY_LOAD = {
    "documents": folders.documents(50),
    "bytes of the network": folders.bytes_of("onnx/model.onnx", 80),
    "bytes of the dictionary": folders.bytes_of("tokenizer.json", 40),
    "bytes of the config": folders.bytes_of("config.json", 20),
    "bytes of the manifest": folders.bytes_of("manifest.json", 20),
    "random networks": networks.random_networks(120),
    "zip bytes": zips.random_zips(40),
}
MUST_NOT_LOAD = {
    "damage": folders.damages(),
    "no files": folders.other_than_files(),
    "networks": networks.networks(),
    "no networks": networks.raw_networks(),
    "dictionaries": resealed(dictionaries.dictionaries()),
    "no dictionaries": resealed(dictionaries.raw_dictionaries()),
    "zips": zips.hostile_zips(),
}
MUST_LOAD = {
    "networks": networks.sound_networks(),
    "zips": zips.sound_zips(),
    "dictionaries": resealed(dictionaries.cutting_dictionaries()),
}


# Of a model that reads forward, which has one network more.
MAY_STREAM = {
    "bytes of the step network": folders.bytes_of("onnx/step.onnx", 60),
    "random step networks": steps.random_steps(120, networks.changed),
    "bad states": steps.bad_states(),
}
MUST_NOT_STREAM = {"step networks": steps.steps()}


class Worker:
    """The process that loads; started again once a model has brought it down."""

    def __init__(self, home: Path, errors: IO[str]) -> None:
        self._home = home
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def load(self, path: Path) -> dict[str, str]:
        process = self._process or self._start()
        process.stdin.write(json.dumps(str(path)) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.stop()
        return {"fault": f"ended with {process.returncode}" if ready else "did not end"}

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self):
        surroundings = {name: str(self._home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._home,
            env={**os.environ, **surroundings, "PYTHONPATH": str(ROOT)},
        )
        return self._process


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def worker(place, tmp_path_factory) -> Iterator[Worker]:
    home = place / "home"
    home.mkdir()
    with (tmp_path_factory.mktemp("errors") / "errors.txt").open("w+") as errors:
        worker = Worker(home, errors)
        yield worker
        worker.stop()
        errors.seek(0)
        assert errors.read() == "", "a library told it too"


def tree(place: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder, with what a change would change."""
    found = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        found[str(path)] = status.st_mode, status.st_size, status.st_mtime_ns
    return found


def outcomes(worker, place, model_folder, cases) -> dict[str, dict[str, str]]:
    """What becomes of each case; fails where anything was written, removed or changed."""
    found = {}
    folder = place / "case"
    for name, change in cases.items():
        shutil.rmtree(folder, ignore_errors=True)
        path = change(shutil.copytree(model_folder, folder / "model")) or folder / "model"
        before = tree(place)
        found[name] = worker.load(path)
        assert tree(place) == before, name
    return found


def faults(outcome: dict[str, str]) -> bool:
    message = outcome.get("refused", "x")
    return "fault" in outcome or "\n" in message or len(message) > 1000 or not message


@pytest.mark.sampled(4)
@pytest.mark.parametrize("family", MAY_LOAD)
def test_what_was_changed_at_random_is_refused_or_answers(worker, place, model_folder, family):
    found = outcomes(worker, place, model_folder, MAY_LOAD[family])
    assert {name: told for name, told in found.items() if faults(told)} == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", MUST_NOT_LOAD)
def test_what_means_harm_is_refused(worker, place, model_folder, family):
    found = outcomes(worker, place, model_folder, MUST_NOT_LOAD[family])
    wrong = {n: told for n, told in found.items() if faults(told) or "refused" not in told}
    assert wrong == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", MAY_STREAM)
def test_a_step_network_changed_at_random_is_refused_or_answers(
    worker, place, forward_folder, family
):
    found = outcomes(worker, place, forward_folder(), MAY_STREAM[family])
    assert {name: told for name, told in found.items() if faults(told)} == {}


@pytest.mark.parametrize("family", MUST_NOT_STREAM)
def test_a_step_network_that_means_harm_is_refused(worker, place, forward_folder, family):
    found = outcomes(worker, place, forward_folder(), MUST_NOT_STREAM[family])
    wrong = {n: told for n, told in found.items() if faults(told) or "refused" not in told}
    assert wrong == {}


def test_a_sound_step_network_answers(worker, place, forward_folder):
    found = outcomes(worker, place, forward_folder(), {"as it is": lambda path: None})
    assert found == {"as it is": {"answered": "3 labels, and token by token"}}


@pytest.mark.parametrize("family", MUST_LOAD)
def test_what_is_sound_answers(worker, place, model_folder, family):
    found = outcomes(worker, place, model_folder, MUST_LOAD[family])
    assert {name: told for name, told in found.items() if "answered" not in told} == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("damage", "onnx/model.onnx truncated 0"),
        ("no files", "manifest.json is a pipe"),
        ("networks", "a loop without an end"),
        ("networks", "a name that a terminal obeys"),
        ("networks", "lengths longer than texts"),
        ("networks", "ids that no table has"),
        ("dictionaries", "a slow expression in every step"),
        ("zips", "a name that a terminal obeys"),
        ("zips", "a bomb"),
    ],
)
def test_the_command_tells_it_in_one_line(model_folder, tmp_path, family, name):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    path = MUST_NOT_LOAD[family][name](folder) or folder
    ended = subprocess.run(
        [sys.executable, "-m", "gatewise", "predict", path, "a text"],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("gatewise: error: ")
    assert ended.stderr.endswith("\n")
    assert ended.stderr[:-1].isprintable()


def test_there_are_many_changes():
    assert sum(map(len, [*MAY_LOAD.values(), *MUST_NOT_LOAD.values()])) > 500
