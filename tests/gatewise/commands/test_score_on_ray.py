"""`gatewise score --engine ray` as it is typed; what it writes is tested with the cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.ray

SCRIPT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
sys.argv = ["gatewise", "score", *{arguments!r}]
from gatewise.cli import main
main()
"""


def score(*arguments: object, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    script = SCRIPT.format(blocked=blocked, arguments=list(map(str, arguments)))
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=180
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,Wo ist der Bahnhof?\n2,où est la gare ?\n", encoding="utf-8")
    return path


def test_a_folder_of_parts_and_a_summary_and_nothing_else(
    model_folder: Path, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = score(model_folder, source, "--out", out, "--engine", "ray", "--workers", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["scored"] == 2
    (part,) = out.iterdir()
    assert part.name == "part-00000.parquet"
    assert pq.read_table(part)["label"].to_pylist() == ["de", "fr"]


def test_a_missing_ray_names_its_extra(model_folder: Path, source: Path, tmp_path: Path) -> None:
    done = score(
        model_folder, source, "--out", tmp_path / "out", "--engine", "ray", blocked=("ray",)
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "pip install 'gatewise[cluster]'" in line


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ("--out out --address 10.0.0.1:6379", 2, "--address has no effect without --engine ray"),
        ("--out out --engine dask", 2, "'dask' is not one of 'local', 'ray'"),
        ("--out - --engine ray", 1, "-: cannot be written: expected a folder"),
        ("--out s3://bucket/out --engine ray", 1, "expected a folder on a file system that every"),
        ("--out out --engine ray --output-format xls", 1, "unknown format 'xls': expected one of"),
        ("--out in.csv --engine ray", 1, "in.csv: it would overwrite or lie in"),
    ],
)
def test_what_is_wrong_is_told_before_a_cluster_is_started(
    gatewise,
    tmp_path: Path,
    source: Path,
    options: str,
    code: int,
    told: str,
) -> None:
    done = gatewise("score", "nowhere", source, *options.split(), cwd=tmp_path)
    assert (done.code, done.stdout) == (code, "")
    assert told in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("inputs", "out", "told"),
    [
        ("old/part-00000.csv", "old", "would replace"),
        ("*/part-*.csv", "new", "output matches */part-*.csv, so the next run would read it"),
    ],
)
def test_an_output_that_is_or_would_be_an_input_is_refused(
    gatewise, tmp_path: Path, source: Path, inputs: str, out: str, told: str
) -> None:
    (tmp_path / "old").mkdir()
    kept = source.rename(tmp_path / "old" / "part-00000.csv")
    contents = kept.read_bytes()
    options = ("--engine", "ray", "--output-format", "csv")
    done = gatewise("score", "nowhere", inputs, "--out", out, *options, cwd=tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert told in " ".join(done.stderr.split())
    assert kept.read_bytes() == contents


def test_standard_input_is_refused(refused, model_folder: Path, tmp_path: Path) -> None:
    options = ("--input-format", "csv", "--out", tmp_path / "o", "--engine", "ray")
    told = refused("score", model_folder, "-", *options)
    assert "expected inputs that every node of the cluster can read" in told
