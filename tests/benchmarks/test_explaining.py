"""The benchmark of explanations times what it says, on a real model and its service."""

import json

import pytest
import typer
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def explaining(benchmark_module):
    return benchmark_module("explaining")


def test_texts_of_every_length_are_asked_about(explaining, model_folder, tmp_path):
    corpus = tmp_path / "texts.csv"
    long = " ".join(["who was it that came"] * 12)
    rows = ["text", "who came", long, "who was it", "who else came"]
    corpus.write_text("\n".join(rows) + "\n")
    app = typer.Typer()
    app.command()(explaining.main)
    options = ["--lengths", "20,400", "--most", "2", "--rounds", "2", "--json"]
    done = CliRunner().invoke(app, [str(model_folder), str(corpus), *options])
    assert done.exit_code == 0, done.output
    short, longer = json.loads(done.stdout)
    assert (short["texts"], longer["texts"]) == (2, 1)
    assert short["tokens"] <= 20 < longer["tokens"]
    for row in (short, longer):
        for name in ("predict_ms", "served_predict_ms", "ratio", "served_ratio"):
            assert row[name] > 0


def test_what_is_no_corpus_is_told(explaining, model_folder, tmp_path):
    app = typer.Typer()
    app.command()(explaining.main)
    done = CliRunner().invoke(app, [str(model_folder), str(tmp_path / "nothing.csv")])
    assert done.exit_code == 1
    assert "nothing.csv" in done.output
