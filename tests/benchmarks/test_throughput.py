"""The benchmark trains the same network in every framework, and says what it measured."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "benchmarks"
WORDS = ["red", "blue", "green", "warm", "cold", "wet", "dry", "old", "new", "big"]


@pytest.fixture(scope="module")
def modules():
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("throughput", "trainer", "recipe", "texts", "raw")
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A set of two labels, that of a text being whether `hot` stands in it."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(1)
    for name, rows in (("train", 96), ("test", 40)):
        lines = ["text,label"]
        for row in range(rows):
            words = random.choice(WORDS, random.integers(2, 9)).tolist()
            lines.append(f"{' '.join([*words, 'hot'] if row % 2 else words)},{'yn'[row % 2]}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def prepared(modules, corpus, tmp_path_factory):
    from gatewise.training.config import config

    scratch = tmp_path_factory.mktemp("scratch")
    texts = modules["texts"].read(corpus, 80, scratch)
    return modules["texts"].encode(texts, config.load(), scratch)


@pytest.fixture(scope="module", params=["lstm", "gru"])
def recipe(modules, prepared, request):
    return modules["recipe"].Recipe(
        request.param,
        prepared.vocab_size,
        prepared.classes,
        embedding_size=8,
        units=4,
        dropout=0.1,
        batch_size=16,
        epochs=2,
        rate=3e-3,
        weight_decay=1e-4,
        seed=1,
    )


def test_a_set_is_cut(prepared, corpus):
    assert len(prepared.parts["train"]) == 80
    assert len(prepared.parts["test"]) == 40
    text = prepared.parts["train"].text(0)
    assert text[0] == 2  # the begin mark
    assert text.max() < prepared.vocab_size


def test_a_set_that_is_not_there_is_an_error(modules, tmp_path):
    from gatewise.vocab.errors import GatewiseError

    with pytest.raises(GatewiseError, match=r"train\.csv"):
        modules["texts"].read(tmp_path, None, tmp_path)


def test_batches_by_length_hold_every_text_once(modules, prepared):
    train = prepared.parts["train"]
    batches = modules["recipe"].batches_by_length(train, 7, 3)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(train)))
    assert all(len(batch) <= 7 for batch in batches)


def test_every_framework_trains_the_same_network(modules, recipe, prepared, tmp_path):
    pytest.importorskip("torch")
    modules["recipe"].write(tmp_path, prepared.parts)
    ways = {
        "lstm": ("Gatewise", "Keras", "PyTorch"),
        "gru": ("Gatewise", "Keras, by length", "PyTorch, by length"),
    }[recipe.cell]
    trained = {way: modules["trainer"].run(way, tmp_path, recipe) for way in ways}
    gates, biases = (4, 1) if recipe.cell == "lstm" else (3, 2)
    expected = 8 * recipe.vocab_size + 2 * gates * 4 * (8 + 4 + biases) + (2 * 4 + 1) * 2
    for way, run in trained.items():
        assert len(run.seconds) == len(run.processor_seconds) == recipe.epochs
        assert 0 <= run.accuracy <= 1
        # PyTorch's LSTM has a second bias, which adds nothing.
        extra = 2 * 4 * 4 if way.startswith("PyTorch") and recipe.cell == "lstm" else 0
        assert run.parameters == expected + extra


def test_a_process_that_fails_says_why(modules, recipe, tmp_path):
    from process import FailedError

    with pytest.raises(FailedError, match=r"^Gatewise: .*train\.npz"):
        modules["trainer"].run("Gatewise", tmp_path, recipe)


def test_rounds_are_summed_up_without_the_first_epoch(modules):
    throughput, trained = modules["throughput"], modules["recipe"].Trained
    runs = [
        trained((9.0, 2.0, 1.0, 3.0), (9.0, 4.0, 4.0, 4.0), 0.5, 7),
        trained((9.0, 4.0, 4.0, 4.0), (9.0, 4.0, 4.0, 4.0), 0.7, 7),
    ]
    row = throughput.summed_up("PyTorch", runs, 100)
    assert row.rates == (50.0, 25.0)
    assert row.first_seconds == 9.0
    assert row.processor_ms == 40.0
    assert row.accuracy == pytest.approx(0.6)
    line = throughput.in_markdown(row, row)
    head, under = throughput.HEAD.splitlines()
    assert line.count("|") == head.count("|") == under.count("|")


@pytest.mark.parametrize("way", ["fastText, its own settings", "TF-IDF and logistic regression"])
def test_a_classifier_is_made_of_raw_texts(modules, corpus, way):
    if way.startswith("fastText"):
        pytest.importorskip("fasttext")
    made = modules["raw"].run(way, corpus)
    assert made.seconds > 0
    assert 0.3 <= made.accuracy <= 1


def test_the_command_prints_both_tables(modules, corpus, monkeypatch):
    throughput, raw = modules["throughput"], modules["raw"]
    trained = modules["recipe"].Trained((1.0, 0.5), (1.0, 0.5), 0.9, 7)
    monkeypatch.setattr(throughput, "run", lambda *_: trained)
    monkeypatch.setattr(raw, "run", lambda *_: raw.Made(1.0, 2.0, 0.8))
    app = Typer()
    app.command()(throughput.main)
    arguments = ["--set-folder", str(corpus), "--rounds", "2", "--epochs", "2"]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "| Gatewise | 192 | 192–192 | 1.00 |" in shown.stdout
    assert "Keras: Gatewise is 1.00 times as fast" in shown.stdout
    assert "| Gatewise, default settings | 1.0 | 2.0 | 0.8000 |" in shown.stdout
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    document = json.loads(result.stdout)
    assert document["texts"] == 96
    assert document["recipe"]["cell"] == "lstm"
    assert document["ways"][0]["rates"] == [192.0, 192.0]


def test_the_page_explains_every_way_and_column(modules):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Training, beside other frameworks") : page.index("## Growth")]
    for way in (*modules["trainer"].WAYS, *modules["raw"].WAYS):
        assert f"| {way} |" in own
    for head in (modules["throughput"].HEAD, modules["throughput"].RAW_HEAD):
        for column in head.splitlines()[0].strip("| ").split(" | "):
            assert column in own
