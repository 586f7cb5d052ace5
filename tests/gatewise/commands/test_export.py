"""`gatewise export` as a user meets it."""

import functools
import json
import signal
import subprocess
import sys

import pytest

from gatewise.value_types import in_bytes


@pytest.fixture
def export(gatewise):
    return functools.partial(gatewise, "export")


def test_steps_are_shown_with_what_they_cost(export, model_folder, languages, tmp_path):
    out = tmp_path / "phone"
    options = ("--target", "mobile", "--max-size", "45KB")
    code, stdout, stderr = export(
        model_folder, "--out", out, *options, "--validation", languages / "validation.csv"
    )
    assert code == 0, stderr
    assert "weights as 8-bit integers" in stdout
    assert "an app that gives raw texts carries one file of" in stdout
    assert "of 45,000: network, tokenizer.json and config.json" in stdout
    assert "and onnxruntime: some 14 MB in a page (2.4 MB with Brotli), 32 MB" in stdout
    assert (out / "onnx" / "model_text.onnx").exists()
    assert f"written to {out} and {out}.zip" in stdout
    assert stderr.count("accuracy") >= 4


def test_json(export, model_folder, tmp_path):
    options = ("--without-tokenizer", "--json")
    code, stdout, _ = export(model_folder, "--out", tmp_path / "phone", *options)
    document = json.loads(stdout)
    assert document["text_model"] is None
    assert (code, document["precision"], document["limit"]) == (0, "int8", None)
    assert document["archive"] == str(tmp_path / "phone.zip")


def test_a_size_that_cannot_be_had_is_one_line(export, model_folder, tmp_path):
    code, stdout, stderr = export(model_folder, "--out", tmp_path / "phone", "--max-size", "1KB")
    assert (code, stdout) == (1, "")
    last = stderr.splitlines()[-1]
    assert last.startswith("gatewise: error: expected a model of at most 1,000 bytes")
    assert not (tmp_path / "phone").exists()


def test_a_bad_row_stops_it_and_is_named(export, model_folder, tmp_path):
    corpus = tmp_path / "rows.csv"
    corpus.write_text("text,label\nein Wort,de\nmot,\n", encoding="utf-8")
    code, _, stderr = export(model_folder, "--out", tmp_path / "phone", "--validation", corpus)
    assert code == 1
    assert f"{corpus}: 1 bad row: line 3: the label is missing" in stderr
    assert not (tmp_path / "phone").exists()


@pytest.mark.parametrize(
    "arguments", [("--max-size", "big"), ("--max-size", "0"), ("--target", "toaster")]
)
def test_wrong_usage(export, model_folder, tmp_path, arguments):
    code, _, stderr = export(model_folder, "--out", tmp_path / "phone", *arguments)
    assert code == 2
    assert arguments[1] in stderr


def test_sizes_as_they_are_typed():
    assert in_bytes("1MB") == 1_000_000
    assert in_bytes("500 kb") == 500_000
    assert in_bytes("1MiB") == 2**20
    assert in_bytes("123456") == 123_456


def test_the_zip_is_an_output_as_well(export, model_folder, languages, tmp_path):
    rejects = tmp_path / "phone.zip"
    options = ("--validation", languages / "validation.csv", "--rejects", rejects)
    code, _, stderr = export(model_folder, "--out", tmp_path / "phone", *options)
    assert code == 1
    assert f"--rejects {rejects}: it would overwrite or lie in {rejects}" in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_half_written(model_folder, tmp_path, number):
    command = [sys.executable, "-m", "gatewise", "export", str(model_folder), "--out", "phone"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        running.stderr.readline()  # the first variant was made: it is at work
        running.send_signal(number)
        running.stderr.read()
    left = {path.name for path in tmp_path.iterdir()}
    # Where it was quicker than the signal, all of it is there.
    assert left == (set() if running.returncode else {"phone", "phone.zip"})
