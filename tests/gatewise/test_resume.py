"""A killed run is resumed to the same bytes, as a user sees it."""

import json
import os
import signal
import subprocess
import sys
import time

SETTINGS = [
    "tokens.unit=character",
    "tokens.max_length=40",
    "network.units=8",
    "network.embedding_size=8",
    "network.buckets=100",
    "network.recurrent_dropout=0.1",
    "training.epochs=3",
    "training.checkpoint_updates=3",
]


def arguments(languages, out, *options):
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return ["train", str(languages / "test.csv"), "--out", str(out), *settings, *options]


def contents(folder):
    """Every file's bytes, without the latencies, which are of one run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name in ("manifest.json", "report.html"):
            continue
        found[name] = path.read_bytes()
    metrics = json.loads(found.pop("metrics.json"))
    metrics.pop("latency", None)
    return {**found, "metrics": metrics}


def kill_after(checkpoints, languages, out):
    """Starts or resumes a run and kills it once it has written some checkpoints."""
    checkpoint = out.with_name(f"{out.name}.run") / "checkpoint.npz"

    def written():
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    command = [sys.executable, "-m", "gatewise", *arguments(languages, out, "--resume")]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = written()
    while checkpoints and run.poll() is None:
        if written() not in (0, last):
            last, checkpoints = written(), checkpoints - 1
        time.sleep(0.001)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    return checkpoint


def test_a_run_that_was_killed_resumes_to_the_same_bytes(gatewise, languages, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert gatewise(*arguments(languages, whole)).code == 0
    checkpoint = kill_after(4, languages, parts)
    assert checkpoint.exists()
    assert not parts.exists()
    assert gatewise(*arguments(languages, parts, "--resume")).code == 0
    assert contents(parts) == contents(whole)
    assert not checkpoint.parent.exists()


def test_a_checkpoint_of_another_config_is_one_clear_line(gatewise, languages, tmp_path):
    kill_after(1, languages, tmp_path / "model")
    for setting in ("training.epochs=4", "network.units=9"):
        done = gatewise(*arguments(languages, tmp_path / "model", "--resume", "--set", setting))
        name, _, value = setting.partition("=")
        assert done.code == 1
        line = done.stderr.splitlines()[-1]  # before it, what was found in the corpus
        assert f"the checkpoint belongs to another run: it has {name}=" in line
        assert f"this run has {value}" in line
