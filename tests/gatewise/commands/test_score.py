"""`gatewise score` as it is typed: streams, several inputs, a run that is stopped."""

import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import gatewise

GATEWISE = [sys.executable, "-m", "gatewise", "score"]
TEXTS = ["Wo ist der Bahnhof?", "where is the station", "où est la gare ?"]


def run(*arguments, **options):
    command = [*GATEWISE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)


@pytest.fixture
def score(gatewise):
    return functools.partial(gatewise, "score")


@pytest.fixture
def folder(tmp_path):
    for number, text in enumerate(TEXTS):
        (tmp_path / f"{number}.csv").write_text(f"id,text\n{number},{text}\n", encoding="utf-8")
    return tmp_path


def test_standard_input_to_standard_output(model_folder):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    done = run(model_folder, "-", "--input-format", "jsonl", "--out", "-", "--json", input=lines)
    assert done.returncode == 0, done.stderr
    rows = list(map(json.loads, done.stdout.splitlines()))
    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == ["de", "en", "fr"]
    assert json.loads(done.stderr)["scored"] == 3


def test_what_was_found_out_is_reported_in_a_line(score, model_folder, tmp_path):
    path, out = tmp_path / "a.csv", tmp_path / "out.csv"
    path.write_bytes("text;id\nWo fährt der Zug für uns?;1\n".encode("cp1252"))
    done = score(model_folder, path, "--out", out)
    assert (
        f"gatewise: {path}: read with the encoding cp1252 and the delimiter ;, found in its first "
        "bytes\n"
    ) in done.stderr
    assert out.read_text("utf-8").startswith("text,id,label,score\nWo fährt der Zug für uns?,1,de,")
    done = score(model_folder, path, "--out", out, "--delimiter", ";", "--encoding", "cp1252")
    assert "found in" not in done.stderr
    path.write_bytes("text\nseñor\n".encode("cp1252"))
    done = score(model_folder, path, "--out", out)
    assert done.code == 1
    assert done.stderr == (
        f"gatewise: error: {path}: the text is not UTF-8, and its encoding may be cp1252 or "
        "cp1250. Name the encoding, or save the file as UTF-8 (--encoding)\n"
    )


def test_output_format_of_a_stream(model_folder, folder):
    done = run(model_folder, folder / "0.csv", "--out", "-", "--output-format", "jsonl.gz")
    (row,) = map(json.loads, gzip.decompress(done.stdout).splitlines())
    assert (row["id"], row["label"]) == ("0", "de")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("- --out -", "the format is missing: add --output-format"),
        ("- --out o.csv", "standard input: no format is given"),
        ("0.csv --out - --output-format parquet", "Parquet has its index at the end"),
        ("0.csv --out - --output-format xls", "unknown kind of file"),
        ("- --input-format csv --out o.csv --resume", "standard input cannot be read again"),
        (
            "0.csv --out - --output-format csv --resume",
            "standard output: cannot resume a run that writes to it",
        ),
        ("1.csv *.csv --out out.tsv", "named twice"),
    ],
)
def test_refused_inputs_and_outputs(refused, model_folder, folder, arguments, reason):
    options = {"cwd": folder, "stdin": b"text\n"}
    assert reason in refused("score", model_folder, *arguments.split(), **options)


def test_format_that_applies_to_nothing_is_wrong_usage(score, model_folder, folder):
    for option, reason in (
        ("--output-format", "the suffix of its name"),
        ("--input-format", "the format of standard input"),
    ):
        done = score(model_folder, folder / "0.csv", "--out", folder / "o.csv", option, "jsonl")
        assert done.code == 2
        assert reason in " ".join(done.stderr.replace("│", "").split())
    assert not (folder / "o.csv").exists()


def test_one_string_is_no_list_of_columns(model_folder, folder):
    model = gatewise.load(model_folder)
    with pytest.raises(TypeError, match="columns: expected a sequence of names"):
        model.score_file(folder / "0.csv", folder / "o.csv", columns="id")
    model.score_file(folder / "0.csv", folder / "o.csv", columns=["label"])
    assert (folder / "o.csv").read_text() == "label\nde\n"


def test_several_inputs_and_patterns_are_one_table(score, model_folder, folder):
    out = folder / "out.tsv"
    named = ("--columns", "id,label")
    done = score(model_folder, "1.csv", "[02].csv", "--out", out, *named, cwd=folder)
    assert done.code == 0, done.stderr
    assert out.read_text() == "id\tlabel\n1\ten\n0\tde\n2\tfr\n"


def test_uri_is_written_whole(score, model_folder, folder):
    out = folder / "out.parquet"
    done = score(model_folder, f"file://{folder}/*.csv", "--out", f"file://{out}", "--top-k", 2)
    assert done.code == 0, done.stderr
    assert "3 rows read, 3 scored" in done.stdout
    done = score(model_folder, out, "--out", folder / "again.jsonl", "--none-below", "1")
    assert done.code == 0, done.stderr
    rows = list(map(json.loads, (folder / "again.jsonl").read_text().splitlines()))
    assert [row["predicted_label"] for row in rows] == ["none of these"] * 3
    assert {*rows[0]} >= {"label", "label_2", "score_2", "predicted_score"}


def test_reader_that_closes_the_pipe_ends_the_run_quietly(model_folder, folder):
    big = folder / "big.csv"
    big.write_text("text\n" + f"{TEXTS[0]}\n" * 50_000)
    shell = f"{' '.join(map(str, [*GATEWISE, model_folder, big]))} --out - --output-format csv"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell} | head -n 1"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == b"text,label,score\n"
    assert done.returncode in (1, 141)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_that_is_stopped_by_a_signal_can_be_resumed(model_folder, tmp_path, number):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + f"{' '.join(TEXTS)}\n" * 80_000, encoding="utf-8")
    command = [*GATEWISE, str(model_folder), str(source), "--out", str(out)]
    journal = tmp_path / ".out.csv.partial" / "journal"
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        # Its first line says what the run was given; the second, that something is done.
        while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
            assert started.poll() is None
            time.sleep(0.01)
        os.kill(started.pid, number)
        _, stderr = started.communicate(timeout=60)
    assert started.returncode == 128 + number
    assert b"interrupted: --resume continues from what is done" in stderr
    assert b"Traceback" not in stderr
    assert not out.exists()
    done = run(*command[4:], "--resume", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["rows"] == summary["scored"] == 80_000
    assert 0 < summary["resumed"] < 80_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
