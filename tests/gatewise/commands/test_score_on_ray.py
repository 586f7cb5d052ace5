"""`gatewise score --engine ray` as it is typed; what it writes is tested with the cluster."""

import json

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.ray


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,Wo ist der Bahnhof?\n2,où est la gare ?\n", encoding="utf-8")
    return path


def test_folder_of_parts_and_a_summary_and_nothing_else(process, model_folder, source, tmp_path):
    out = tmp_path / "out"
    options = ("--engine", "ray", "--workers", 1, "--json")
    code, stdout, stderr = process("score", model_folder, source, "--out", out, *options)
    assert (code, stderr) == (0, "")
    assert json.loads(stdout)["scored"] == 2
    (part,) = out.iterdir()
    assert part.name == "part-00000.parquet"
    assert pq.read_table(part)["label"].to_pylist() == ["de", "fr"]


def test_missing_ray_names_its_extra(process, model_folder, source, tmp_path):
    options = ("--out", tmp_path / "out", "--engine", "ray")
    code, stdout, stderr = process("score", model_folder, source, *options, missing=["ray"])
    assert (code, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert "pip install 'gatewise[cluster]'" in line


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ("--out out --address 10.0.0.1:6379", 2, "--address has no effect without --engine ray"),
        ("--out out --engine dask", 2, "'dask' is not one of 'local', 'ray'"),
        ("--out - --engine ray", 1, "-: cannot be written: expected a folder"),
        ("--out s3://bucket/out --engine ray", 1, "expected a folder on a file system that every"),
        ("--out out --engine ray --output-format xls", 1, "unknown format 'xls': expected one of"),
        ("--out in.csv --engine ray", 1, "in.csv: it would overwrite or lie in"),
    ],
)
def test_errors_before_a_cluster_is_started(gatewise, tmp_path, source, options, code, reason):
    done = gatewise("score", "nowhere", source, *options.split(), cwd=tmp_path)
    assert (done.code, done.stdout) == (code, "")
    assert reason in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("inputs", "out", "reason"),
    [
        ("old/part-00000.csv", "old", "would replace"),
        ("*/part-*.csv", "new", "output matches */part-*.csv, so the next run would read it"),
    ],
)
def test_output_that_is_or_would_be_an_input_is_refused(
    gatewise, tmp_path, source, inputs, out, reason
):
    (tmp_path / "old").mkdir()
    kept = source.rename(tmp_path / "old" / "part-00000.csv")
    contents = kept.read_bytes()
    options = ("--engine", "ray", "--output-format", "csv")
    done = gatewise("score", "nowhere", inputs, "--out", out, *options, cwd=tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert reason in " ".join(done.stderr.split())
    assert kept.read_bytes() == contents


def test_standard_input_is_refused(refused, model_folder, tmp_path):
    options = ("--input-format", "csv", "--out", tmp_path / "o", "--engine", "ray")
    reason = refused("score", model_folder, "-", *options)
    assert "expected inputs that every node of the cluster can read" in reason
