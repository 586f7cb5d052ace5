"""A model of sequences of numbers, by the commands and in Python: each gives the same answer."""

import json
import math
import pickle

import numpy as np
import onnxruntime as ort
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gatewise as package
from gatewise.sources import source_of
from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus
from gatewise.vocab.corpus.sequences import as_json
from gatewise.vocab.errors import ArgumentError, GatewiseError, SequenceError, TextsError
from gatewise.vocab.tokenizer.encoding import pad

REFUSED = "expected a model of texts, received one of sequences of numbers"


@pytest.fixture(scope="module")
def folder(gestures_run):
    return gestures_run[1]


@pytest.fixture(scope="module")
def model(folder):
    return package.load(folder)


@pytest.fixture(scope="module")
def few(gestures):
    return gestures(12, 3)


def test_gestures_are_learnt(gestures_run):
    run, path = gestures_run
    assert "a linear SVM on the last steps has" in (path / "README.md").read_text("utf-8")
    assert run.test.accuracy > 0.85
    assert run.tokens == 0
    assert 0.93 < run.coverage.share < 0.97
    assert run.baselines.linear.accuracy > run.baselines.majority


def test_the_network_itself_takes_plain_numbers(model, few, folder):
    sequences, _ = few
    found = model.predict_proba(sequences)
    session = ort.InferenceSession(folder / "onnx" / "model.onnx")
    (logits,) = session.run(["logits"], pad(sequences).by_name)
    powers = np.exp(logits)
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), found, rtol=1e-4)
    assert not (folder / "tokenizer.json").exists()
    assert [type(each) for each in session.get_inputs()[0].shape] == [str, str, int]


def test_lists_arrays_and_json_are_the_same_sequences(model, few):
    sequences, _ = few
    expected = model.predict_proba(sequences)
    lists = [numbers.tolist() for numbers in sequences]
    for given in (lists, tuple(sequences), list(map(as_json, sequences))):
        np.testing.assert_array_equal(model.predict_proba(given), expected)
    one_shape = np.stack([numbers[:10] for numbers in sequences])
    np.testing.assert_array_equal(
        model.predict_proba(one_shape), model.predict_proba(list(one_shape))
    )
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(sequences), expected)


def test_a_prediction_does_not_depend_on_the_batch(model, gestures):
    sequences, _ = gestures(60, 4)
    sequences += [numbers[:1] for numbers in sequences[:5]]
    together = model.predict_proba(sequences)
    for row, numbers in enumerate(sequences):
        np.testing.assert_array_equal(model.predict_proba([numbers])[0], together[row])


def test_every_door_gives_the_same_answer(gatewise, folder, model, few, tmp_path):
    sequences, _ = few
    expected, scores = model.predict(sequences), model.predict_proba(sequences).max(axis=1)
    lines = list(map(as_json, sequences))
    _, stdout, _ = gatewise("predict", folder, *lines, "--json")
    found = [json.loads(line) for line in stdout.splitlines()]
    assert [row["predictions"][0]["label"] for row in found] == expected
    assert (np.float32([row["predictions"][0]["score"] for row in found]) == scores).all()
    assert [row["sequence"] for row in found] == list(map(json.loads, lines))
    _, stdout, _ = gatewise("predict", folder, "-", stdin="\n".join(lines).encode())
    assert [line.split()[0] for line in stdout.splitlines()] == expected
    given = tmp_path / "in.jsonl"
    given.write_text("".join(f'{{"sequence": {line}}}\n' for line in lines), encoding="utf-8")
    for name in ("out.jsonl", "out.parquet", "out.csv"):
        code, _, stderr = gatewise("score", folder, given, "--out", tmp_path / name)
        assert code == 0, stderr
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["label"].to_pylist() == expected
    assert (written["score"].to_numpy() == scores).all()
    assert as_json(written["sequence"].to_pylist()[0]) == lines[0]
    for name in ("out.jsonl", "out.parquet", "out.csv"):
        code, stdout, stderr = gatewise("evaluate", folder, tmp_path / name, "--json")
        assert code == 0, stderr
        assert json.loads(stdout)["accuracy"] == 1
    frame = model.predict_frame(pd.DataFrame({"sequence": sequences}))
    assert frame["label"].tolist() == expected
    columns = package.score_texts([*sequences, None, math.nan, pd.NA], folder)
    assert columns["predicted_label"] == [*expected, None, None, None]


def test_evaluate_is_that_of_the_run(
    gatewise, folder, model, gestures_corpus, gestures_run, gestures
):
    _, stdout, _ = gatewise("evaluate", folder, gestures_corpus / "test.parquet", "--json")
    assert json.loads(stdout)["accuracy"] == gestures_run[0].test.accuracy
    sequences, labels = gestures(100, 2)
    assert model.evaluate(sequences, labels).accuracy == gestures_run[0].test.accuracy
    frame = pd.DataFrame({"sequence": sequences, "label": labels})
    assert model.evaluate(frame).accuracy == gestures_run[0].test.accuracy


def test_the_folder_says_what_it_reads(gatewise, folder):
    tokens = json.loads((folder / "config.json").read_text(encoding="utf-8"))["gatewise"]["tokens"]
    assert tokens == {"unit": "vector", "max_length": 512, "keep": "head", "features": 2}
    _, stdout, _ = gatewise("inspect", folder)
    assert "the steps of sequences, 2 numbers each, at most 512 per text" in stdout
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Sequence classifier with 3 labels" in report
    assert "dictionary has" not in report
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`input_values`, float, `[batch, sequence, features]`" in card
    assert "dictionary" not in card


def test_the_same_seed_gives_the_same_bytes_also_after_an_interruption(gestures, tmp_path):
    sequences, labels = gestures(60, 5)
    settings = {"units": 3, "epochs": 3, "cell": "rnn", "refit": False}
    package.train(sequences, labels, out=tmp_path / "whole", **settings)

    class StoppedError(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", None):
            raise StoppedError

    with pytest.raises(StoppedError):
        package.train(sequences, labels, out=tmp_path / "resumed", progress=stop, **settings)
    package.train(sequences, labels, out=tmp_path / "resumed", resume=True, **settings)
    first, second = (
        (tmp_path / name / "onnx" / "model.onnx").read_bytes() for name in ("whole", "resumed")
    )
    assert first == second


def test_numbers_and_several_labels_are_targets_too(gestures):
    sequences, labels = gestures(80, 6)
    rng = np.random.default_rng(0)
    values = [float(np.nanmean(numbers[-3:, 0])) + rng.normal(0, 0.1) for numbers in sequences]
    settings = {"units": 4, "epochs": 15, "readout": "last", "dropout": 0.0}
    regression = package.train(sequences, values, learning_rate=0.02, **settings)
    assert regression.trained.run.validation.rmse < regression.trained.run.baselines.mean.rmse
    assert regression.predict(sequences[:2]).shape == (2,)
    several = package.train(sequences, [[label, "any"] for label in labels], **settings)
    assert all("any" in found for found in several.predict(sequences[:2]))


def test_other_inputs_are_refused_in_one_line(model, model_folder):
    for given, message in (
        (["who wrote it"], "sequence 0.*received the text 'who wrote it'"),
        ([[1.0, 2.0]], "sequence 0.*expected vectors of 2 numbers, received numbers"),
        ([[[1.0, float("inf")]]], "sequence 0.*expected a finite number"),
        ([[]], "the sequence is empty"),
        ("text", "expected a list of sequences of numbers"),
    ):
        with pytest.raises(SequenceError, match=message):
            model.predict(given)
    texts = package.load(model_folder)
    for given in ([[1.0, 2.0]], np.zeros((2, 3, 2))):
        with pytest.raises(TextsError):
            texts.predict(given)
        with pytest.raises(GatewiseError, match=r"string|texts"):
            texts.evaluate(given, ["de"] * len(given))
    with pytest.raises(GatewiseError, match="received the text 'ein Text'"):
        model.evaluate(["ein Text"], ["rise"])


def test_what_numbers_have_not_is_refused_in_one_line(
    gatewise, folder, model, gestures_corpus, tmp_path
):
    corpus, out = gestures_corpus / "train.jsonl", tmp_path / "out"
    for command in (
        ("explain", folder, "[[1, 2]]"),
        ("suggest", folder, corpus),
        ("train", corpus, "--out", out, "--from", folder),
    ):
        code, stdout, stderr = gatewise(*command)
        assert (code, stdout) == (1, "")
        assert REFUSED in stderr
        assert stderr.count("\n") == 1
    with pytest.raises(ArgumentError, match=REFUSED):
        model.explain("[[1, 2]]")
    for command in (
        ("audit", corpus, "--out", out),
        ("vocab", corpus, "--out", tmp_path / "a.json"),
    ):
        code, _, stderr = gatewise(*command)
        assert code == 1
        assert stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "setting",
    [
        *("tokens.unit=word", "tokens.windows=2", "tokens.vocab_size=50", "network.ngrams=[1]"),
        *("network.input=one_hot", "network.spelling=[3]", "training.linear_path=solved"),
        *("network.word_dropout=0.2", "tokens.lowercase=false", "corpus.similarity=0.5"),
    ],
)
def test_settings_of_texts_are_refused(train, gestures_corpus, tmp_path, setting):
    settings = config.load(assignments=[setting])
    with pytest.raises(ConfigError, match="received one of sequences of numbers") as caught:
        train(tmp_path / "model", settings, gestures_corpus / "train.jsonl")
    assert str(caught.value).startswith(f"{setting.partition('=')[0]}: ")


def test_columns_of_any_library_are_sequences(gestures):
    sequences, labels = gestures(10, 11)
    lists = [numbers.tolist() for numbers in sequences]
    expected = list(map(as_json, sequences))
    columns = package_columns(lists)
    for texts in (sequences, lists, *columns, np.stack([each[:10] for each in sequences])):
        table = source_of(texts, labels, Columns(), "training rows")
        assert open_corpus(table).columns.input == "sequence"
        rows = open_corpus(table).rows(StopAtBadRows())
        assert len(expected) == len(list(rows))


def package_columns(lists):
    polars = pytest.importorskip("polars")
    return pd.Series(lists), pa.array(lists), polars.Series(lists, strict=False)


def test_a_teacher_is_one_of_texts(gestures, folder, model_folder):
    sequences, labels = gestures(20, 8)
    with pytest.raises(ConfigError, match="teacher: expected a corpus of texts"):
        package.train(sequences, labels, teacher=model_folder)
    with pytest.raises(ArgumentError, match=REFUSED):
        package.label(["a text"], ["fall", "rise", "stay"], teacher=folder)


@pytest.mark.parametrize("setting", ["tokens.unit=vector", "sequence.scale=none"])
def test_settings_of_sequences_are_refused_for_texts(train, languages, tmp_path, setting):
    settings = config.load(assignments=[setting])
    with pytest.raises(ConfigError, match=f"{setting}: expected a corpus of sequences"):
        train(tmp_path / "model", settings, languages / "test.csv")


def test_the_diagnosis_of_a_flat_cost_names_numbers_that_are_not_standardized(gestures):
    sequences, _ = gestures(200, 9)
    found = []
    package.train(
        [1e6 + np.abs(numbers) for numbers in sequences],
        ["one", "other"] * 100,
        scale="none",
        units=4,
        cell="rnn",
        direction="forward",
        readout="last",
        epochs=4,
        batch_size=8,
        refit=False,
        progress=found.append,
        duplicates="ignore",
    )
    flat = [each.message for each in found if "the cost is flat" in getattr(each, "message", "")]
    assert flat
    assert "set sequence.scale=standard" in flat[0]


def test_a_number_far_from_the_others_is_not_mistaken_for_divergence():
    generator = np.random.default_rng(0)
    sequences, values = list(generator.normal(size=(400, 4))), generator.normal(size=400)
    values[300] = 1e4
    found = []
    package.train(
        sequences,
        values.tolist(),
        validation=(sequences[:50], values[:50].tolist()),
        units=2,
        cell="rnn",
        readout="last",
        epochs=1,
        batch_size=8,
        refit=False,
        duplicates="ignore",
        progress=found.append,
    )
    assert not [each for each in found if "diverges" in getattr(each, "message", "")]


def test_predict_takes_and_writes_a_missing_number_as_null(gatewise, refused, folder):
    code, stdout, _ = gatewise("predict", folder, "[[1, null], [2, null]]", "--json")
    assert code == 0
    assert '"sequence": [[1, null], [2, null]]' in stdout
    assert "null for a missing one" in refused("predict", folder, "[[1, NaN]]")


def test_rows_of_another_width_are_bad_rows(gatewise, folder, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"sequence": [[1, 2]]}\n{"sequence": [1]}\n', encoding="utf-8")
    code, _, stderr = gatewise("score", folder, path, "--out", tmp_path / "out.jsonl")
    assert code == 1
    assert "expected vectors of 2 numbers, received numbers" in stderr
    rejects = ("--rejects", tmp_path / "bad.jsonl")
    code, _, _ = gatewise("score", folder, path, "--out", tmp_path / "out.jsonl", *rejects)
    assert code == 0
    assert json.loads((tmp_path / "bad.jsonl").read_text(encoding="utf-8"))["line"] == 2


def test_check_reports_missing_and_truncated_steps(gatewise, gestures_corpus):
    corpus = gestures_corpus / "train.jsonl"
    code, stdout, _ = gatewise("check", corpus, "--set", "tokens.max_length=12")
    assert code == 0
    assert "training sequences" in stdout
    assert "longer than tokens.max_length=12" in stdout
