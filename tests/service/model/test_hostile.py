"""A damaged or hostile model folder is refused in one line, or it predicts; nothing else happens.

Hundreds of changes to a real folder are loaded by a process with limited memory and time. The files
around the folder must not change.
"""

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent / "hostile"
SECONDS = 60
"""Time limit of one case; it takes under a second on an idle machine."""


def load_module(name):
    """A module of the folder `hostile`, which is not a package."""
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


folders, networks, tokenizers, zips, steps = map(
    load_module, ("folders", "networks", "hostile_tokenizers", "zips", "steps")
)


def resealed(cases):
    return {
        name: lambda path, change=change: (change(path), folders.reseal(path))[0]
        for name, change in cases.items()
    }


MAY_LOAD = {
    "documents": folders.changed_documents(25),
    "bytes of the network": folders.changed_bytes("onnx/model.onnx", 50),
    "bytes of the tokenizer": folders.changed_bytes("tokenizer.json", 20),
    "bytes of the manifest": folders.changed_bytes("manifest.json", 10),
    "random networks": networks.random_networks(80),
    "bytes of a zip": zips.random_zips(30),
}
MUST_NOT_LOAD = {
    "damaged files": folders.damaged_files(),
    "special files": folders.special_files(),
    "networks": networks.hostile_networks(),
    "invalid protobufs": networks.invalid_protobufs(),
    "tokenizers": resealed(tokenizers.hostile_tokenizers()),
    "invalid JSON": resealed(tokenizers.invalid_json()),
    "zips": zips.hostile_zips(),
}
MUST_LOAD = {
    "links": folders.linked_files(),
    "networks": networks.sound_networks(),
    "zips": zips.sound_zips(),
    "tokenizers": resealed(tokenizers.padding_tokenizers()),
}

# Of a forward model, which has a step network too.
MAY_STREAM = {
    "bytes of the step network": folders.changed_bytes("onnx/step.onnx", 40),
    "random step networks": steps.random_steps(80, networks.mutate),
    "invalid states": steps.bad_states(),
}


class Worker:
    """The process that loads; restarted after a crash."""

    def __init__(self, home, errors):
        self._home = home
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def load(self, path):
        process = self._process or self._start()
        process.stdin.write(json.dumps(str(path)) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.stop()
        return {"crash": f"exit code {process.returncode}" if ready else "timeout"}

    def stop(self):
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self):
        home_variables = {name: str(self._home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._home,
            env={**os.environ, **home_variables, "PYTHONPATH": str(ROOT)},
        )
        return self._process


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def worker(workspace, tmp_path_factory):
    home = workspace / "home"
    home.mkdir()
    with (tmp_path_factory.mktemp("errors") / "errors.txt").open("w+") as errors:
        worker = Worker(home, errors)
        yield worker
        worker.stop()
        errors.seek(0)
        assert errors.read() == "", "a library wrote to standard error"


def tree(workspace):
    """Mode, size and modification time of everything below a folder."""
    found = {}
    for path in sorted(workspace.rglob("*")):
        status = path.lstat()
        found[str(path)] = status.st_mode, status.st_size, status.st_mtime_ns
    return found


def outcomes(worker, workspace, model_folder, cases):
    """The outcome of each case; fails if a file around the model was changed."""
    found = {}
    folder = workspace / "case"
    for name, change in cases.items():
        shutil.rmtree(folder, ignore_errors=True)
        path = change(shutil.copytree(model_folder, folder / "model")) or folder / "model"
        before = tree(workspace)
        found[name] = worker.load(path)
        assert tree(workspace) == before, name
    return found


def failures(found):
    """The cases that crashed or timed out, or whose message is not one short line."""
    return {name: outcome for name, outcome in found.items() if not is_clean(outcome)}


def is_clean(outcome):
    message = outcome.get("refused", "loaded")
    return "crash" not in outcome and 0 < len(message) <= 1000 and "\n" not in message


def not_refused(found):
    clean = {name: outcome for name, outcome in found.items() if "refused" not in outcome}
    return clean | failures(found)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("family", MAY_LOAD)
def test_random_change_is_refused_or_harmless(worker, workspace, model_folder, family):
    assert failures(outcomes(worker, workspace, model_folder, MAY_LOAD[family])) == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", MUST_NOT_LOAD)
def test_hostile_folder_is_refused(worker, workspace, model_folder, family):
    assert not_refused(outcomes(worker, workspace, model_folder, MUST_NOT_LOAD[family])) == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", MAY_STREAM)
def test_random_step_network_is_refused_or_harmless(worker, workspace, forward_folder, family):
    assert failures(outcomes(worker, workspace, forward_folder(), MAY_STREAM[family])) == {}


def test_hostile_step_network_is_refused(worker, workspace, forward_folder):
    found = outcomes(worker, workspace, forward_folder(), steps.hostile_steps())
    assert not_refused(found) == {}
    found = outcomes(worker, workspace, forward_folder(), {"unchanged": lambda path: None})
    assert found == {"unchanged": {"loaded": "3 labels, streamed"}}


@pytest.mark.parametrize("family", MUST_LOAD)
def test_unusual_folder_loads(worker, workspace, model_folder, family):
    found = outcomes(worker, workspace, model_folder, MUST_LOAD[family])
    assert {name: outcome for name, outcome in found.items() if "loaded" not in outcome} == {}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("special files", "manifest.json is a pipe"),
        ("networks", "a name that a terminal obeys"),
        ("networks", "ids that no table has"),
    ],
)
def test_command_prints_one_line(model_folder, tmp_path, family, name):
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
