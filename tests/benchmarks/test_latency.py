"""The benchmark compares the same work, and says what it measured."""

import importlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

pytest.importorskip("tf2onnx")

FOLDER = Path(__file__).parents[2] / "benchmarks"
TOKENS = 12


@pytest.fixture(scope="module")
def latency():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("latency")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module", params=["gru", "lstm"])
def ways(latency, request, tmp_path_factory):
    return latency.ways_of(request.param, TOKENS, tmp_path_factory.mktemp("ways"))


@pytest.fixture(scope="module")
def rows(latency, ways):
    return latency.measure(ways, repeats=2, calls=1)


def test_logits_agree(latency, ways):
    assert 0 < latency.check_agreement(ways) <= 1e-5


def test_other_logits_are_an_error(latency, ways):
    strayed = replace(ways[2], logits=lambda: ways[2].logits() + 2e-5)
    with pytest.raises(latency.DisagreementError, match="Keras's own ONNX export"):
        latency.check_agreement([*ways[:2], strayed])


def test_logits_that_are_no_numbers_are_an_error(latency, ways):
    strayed = replace(ways[1], logits=lambda: ways[1].logits() * float("nan"))
    with pytest.raises(latency.DisagreementError, match="nan"):
        latency.check_agreement([ways[0], strayed])


def test_every_way_is_measured(latency, rows):
    default = [row.name for row in rows if row.network == latency.DEFAULT]
    plain = [row.name for row in rows if row.network != latency.DEFAULT]
    assert default == [
        "Gatewise's ONNX",
        "Gatewise, from the string",
        "Keras's own ONNX export",
        "Keras model.predict",
        "Keras predict_on_batch",
        "Keras model(x)",
        "Keras in a tf.function",
    ]
    assert plain == ["Gatewise's ONNX", "Keras's own ONNX export"]
    for row in rows:
        assert 0 < row.lower_ms <= row.median_ms <= row.upper_ms
        assert (row.times_ours == 1) == (row.name == latency.OURS)


def test_only_the_export_of_keras_loops(latency, rows):
    for row in rows:
        if row.name == latency.OURS:
            assert row.nodes > 0
            assert row.loop_nodes == 0
        elif row.name == latency.EXPORT:
            assert row.loop_nodes > 0
        else:
            assert row.nodes is None


def test_the_table_fits_a_terminal(latency, rows):
    default = [row for row in rows if row.network == latency.DEFAULT]
    console = Console(file=io.StringIO(), width=80)
    console.print(latency.report(default))
    shown = console.file.getvalue()
    assert "…" not in shown
    assert all(row.name in shown for row in default)


def test_the_readme_explains_every_row(rows):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row.name} |" in readme
        assert f"**{row.network}**" in readme


@pytest.fixture
def run(latency, ways, rows, monkeypatch):
    """The command, with what has been measured already."""
    monkeypatch.setattr(latency, "ways_of", lambda *_: ways)
    monkeypatch.setattr(latency, "measure", lambda *_: rows)
    app = Typer()
    app.command()(latency.main)
    return lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_json(run, rows):
    result = run("--json", "--repeats", "2", "--tokens", str(TOKENS))
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (document["repeats"], document["tokens"]) == (2, TOKENS)
    assert [row["name"] for row in document["rows"]] == [row.name for row in rows]
    assert document["largest_difference"] <= 1e-5
    assert set(document["targets"]) == {"Keras's own ONNX export", "Keras model.predict"}


def test_the_targets_are_told(run):
    result = run()
    assert result.exit_code == 0
    assert "5 times faster than Keras's own ONNX export:" in result.stdout
    assert "100 times faster than Keras model.predict:" in result.stdout


def test_a_disagreement_is_one_line(run, latency, ways, monkeypatch):
    strayed = replace(ways[1], logits=lambda: ways[1].logits() + 1)
    monkeypatch.setattr(latency, "ways_of", lambda *_: [ways[0], strayed])
    result = run()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the default network: expected the logits of Gatewise,")
    assert result.stderr.count("\n") == 1
