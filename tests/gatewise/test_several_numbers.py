"""A model that predicts two numbers of very different sizes: each door gives both of them."""

import csv
import json

import numpy as np
import onnxruntime as ort
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

import gatewise as package
from gatewise.service.model.classifier import Classifier
from gatewise.sklearn import TextRegressor
from gatewise.sources import source_of
from gatewise.train_model import prepare
from gatewise.training.mobile.mobile_export import export_mobile
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoding import pad

NAMES = ("rating", "length")
TEXTS = ["the film was superb and fine", "an awful and poor story", "music"]
COLUMNS = [f"{kind}_{name}" for name in NAMES for kind in ("prediction", "low", "high")]


@pytest.fixture(scope="module")
def folder(pairs_run):
    return pairs_run[1]


@pytest.fixture(scope="module")
def model(folder):
    return package.load(folder)


@pytest.fixture(scope="module")
def test_rows(pairs_corpus):
    with (pairs_corpus / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([[float(row[name]) for name in NAMES] for row in rows])
    return [row["text"] for row in rows], truth


def test_both_numbers_are_learnt_and_measured_by_themselves(pairs_run):
    run, _ = pairs_run
    assert set(run.test.targets) == set(NAMES)
    for name, report in run.test.targets.items():
        assert report.rmse < 0.7 * run.baselines.mean.targets[name].rmse
        assert 0.8 < report.coverage <= 1
    assert run.baselines.linear.targets["length"].rmse > 1e4
    assert run.fitted.metric == "rmse"
    # In standard deviations of each: the mean of the training rows has about one.
    assert run.baselines.mean.rmse == pytest.approx(1, abs=0.02)
    assert run.fitted.best.metric == pytest.approx(run.fitted.best.validation_loss**0.5, rel=0.01)


def test_the_network_itself_gives_the_numbers(model, test_rows, tmp_path):
    texts, truth = test_rows
    found = model.predict(texts)
    assert (found.dtype, found.shape) == (np.float32, truth.shape)
    session = ort.InferenceSession(model.artifact.model)
    batch = pad([each.ids for each in model.encode(texts)])
    inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    np.testing.assert_allclose(session.run(["logits"], inputs)[0], found, rtol=1e-5)
    report = model.evaluate(texts, truth)
    for place, name in enumerate(NAMES):
        errors = np.abs(found - truth)[:, place]
        assert report.targets[name].mae == pytest.approx(errors.mean())
        within = errors <= model.interval.half_widths[place]
        assert report.targets[name].coverage == pytest.approx(within.mean())


def test_every_door_gives_the_same_numbers(gatewise, folder, model, tmp_path):
    expected = model.predict(TEXTS)
    halves = model.interval.half_widths
    code, stdout, _ = gatewise("predict", folder, *TEXTS)
    assert code == 0
    first = f"rating {expected[0, 0]}  length {expected[0, 1]}\t{TEXTS[0]}"
    assert stdout.splitlines()[0] == first
    _, stdout, _ = gatewise("predict", folder, *TEXTS, "--json")
    assert list(json.loads(stdout.splitlines()[0])) == ["text", *COLUMNS]
    given = pd.DataFrame({"text": TEXTS})
    given.to_csv(tmp_path / "in.csv", index=False)
    for name in ("out.csv", "out.parquet"):
        code, stdout, stderr = gatewise(
            "score", folder, tmp_path / "in.csv", "--out", tmp_path / name
        )
        assert code == 0, stderr
        assert "prediction_rating, prediction_length" in stdout + stderr
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column_names == ["text", *COLUMNS]
    frame = model.predict_frame(given)
    assert frame.columns.tolist() == ["text", *COLUMNS]
    csv_rows = pd.read_csv(tmp_path / "out.csv")
    for place, name in enumerate(NAMES):
        for table in (written.to_pandas(), frame, csv_rows):
            found = table[f"prediction_{name}"].to_numpy(np.float32)
            assert (found == expected[:, place]).all()
            high = table[f"high_{name}"].to_numpy(np.float32)
            np.testing.assert_allclose(high, expected[:, place] + halves[place], rtol=1e-6)


def test_evaluate_prints_both(gatewise, folder, pairs_corpus, pairs_run, tmp_path):
    # The columns are those that the numbers are named after.
    code, stdout, stderr = gatewise("evaluate", folder, pairs_corpus / "test.csv", "--json")
    assert code == 0, stderr
    report = json.loads(stdout)
    assert report["rmse"] == pytest.approx(pairs_run[0].test.rmse)
    assert report["targets"]["length"]["rmse"] > 1e4
    _, stdout, _ = gatewise("evaluate", folder, pairs_corpus / "test.csv")
    assert f"  length: RMSE {report['targets']['length']['rmse']:.4g}" in stdout
    frame = pd.read_csv(pairs_corpus / "test.csv")
    # In any order; and as lists.
    for columns, option in (
        ("length,rating", ["--label-column", "length,rating"]),
        ("values", []),
    ):
        other = tmp_path / "a.jsonl"
        if columns == "values":
            frame = pd.DataFrame(
                {"text": frame["text"], "values": frame[list(NAMES)].to_numpy().tolist()}
            )
        frame.to_json(other, orient="records", lines=True)
        _, stdout, _ = gatewise("evaluate", folder, other, "--json", *option)
        assert json.loads(stdout) == report


def test_columns_that_are_not_the_numbers_are_refused(gatewise, folder, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,rating,age\nfine,3,4\n", encoding="utf-8")
    code, _, stderr = gatewise("evaluate", folder, path, "--label-column", "rating,age")
    assert code == 1
    assert "expected the columns of the model's numbers, rating, length, received" in stderr
    path.write_text('text,values\nfine,"[3]"\n', encoding="utf-8")
    code, _, stderr = gatewise("evaluate", folder, path)
    assert code == 1
    assert "line 2: column 'values': expected 2 in every row, received a list of 1" in stderr


def test_an_explanation_is_of_one_of_the_numbers(gatewise, folder, model):
    text = "the film was superb"
    numbers = model.predict([text])[0]
    for place, (label, name) in enumerate([(None, "rating"), ("length", "length")]):
        found = model.explain(text, label)
        assert (found.label, found.probability) == (name, pytest.approx(numbers[place]))
    shares = {token.text: token.share for token in model.explain(text, "rating").tokens}
    assert max(shares, key=shares.get) == "superb"
    _, stdout, _ = gatewise("explain", folder, text, "--label", "length", "--json")
    assert json.loads(stdout)["label"] == "length"


def test_the_folder_names_the_numbers(gatewise, folder):
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert document["problem_type"] == "regression"
    assert document["id2label"] == {"0": "rating", "1": "length"}
    assert len(document["gatewise"]["interval"]["half_width"]) == 2
    report = (folder / "report.html").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"Predicted by true number: <bdi>{name}</bdi>" in report
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Text regression: `rating`, `length` for each text" in card
    assert "predicting the mean of each, " in card
    assert "| test, `length` |" in card
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    exact, _, integers = (each["rmse"] for each in metrics["models"])
    assert integers == pytest.approx(exact, rel=0.1)
    assert set(metrics["baselines"]["mean"]["targets"]) == set(NAMES)
    assert {miss["target"] for miss in metrics["review"]["misses"]} == set(NAMES)
    _, stdout, _ = gatewise("inspect", folder)
    assert "regression" in stdout


def test_check_finds_nothing_in_the_names_of_numbers(gatewise, pairs_corpus, tmp_path):
    frame = pd.read_csv(pairs_corpus / "train.csv").rename(columns={"length": "Rating"})
    frame.head(120).to_csv(tmp_path / "a.csv", index=False)
    corpus_options = ["--label-column", "rating,Rating"]
    code, stdout, stderr = gatewise("check", tmp_path / "a.csv", *corpus_options, "--json")
    assert code == 0, stderr
    codes = {found["code"] for found in json.loads(stdout)["findings"]}
    assert "few-validation-rows" in codes
    assert not codes & {"same-labels", "listed-labels", "many-labels", "few-rows"}


def test_smaller_precisions_and_the_text_model_keep_both_numbers(
    folder, model, pairs_corpus, tmp_path
):
    expected = model.predict(TEXTS)
    deviations = np.array(model.interval.half_widths)
    for precision in ("fp16", "int8"):
        found = Classifier.load(folder, precision=precision).predict(TEXTS)
        assert (np.abs(found - expected) < 0.3 * deviations).all()
    columns = Columns(label=",".join(NAMES))
    rows = read_rows(pairs_corpus / "test.csv", bad_rows=StopAtBadRows(), columns=columns)
    rows = list(rows)
    exported = export_mobile(
        folder, tmp_path / "a", precision="int8", rows=lambda _: rows, on_step=lambda _: None
    )
    assert exported.steps[-1].rmse < 1
    smaller = Classifier.load(tmp_path / "a")
    assert len(smaller.interval.half_widths) == 2
    session = ort.InferenceSession(smaller.artifact.folder.text_model)
    scores, classes = session.run(["scores", "classes"], {"text": TEXTS})
    assert list(classes) == list(NAMES)
    np.testing.assert_allclose(scores, smaller.predict(TEXTS), rtol=1e-4)


def test_an_estimator_predicts_a_matrix(test_rows):
    texts, truth = test_rows
    settings = {"units": 4, "embedding_size": 4, "buckets": 500, "epochs": 2, "spelling": ()}
    regressor = TextRegressor(unit="word", refit=False, **settings)
    fitted = clone(regressor).fit(texts[:150], truth[:150])
    assert fitted.predict(texts[150:]).shape == (50, 2)
    assert fitted.score(texts[150:], truth[150:]) > 0.2
    assert fitted.model_.classes_ == ["value_1", "value_2"]
    frame = pd.DataFrame(truth, columns=NAMES)
    turned = frame[150:][["length", "rating"]]
    named = clone(regressor).fit(texts[:150], frame[:150], None, texts[150:], turned)
    assert named.model_.classes_ == [*NAMES]
    assert named.model_.metrics["validation"]["rmse"] < 1


def test_numbers_in_a_table_are_those_of_their_names_wherever_they_stand():
    numbers = pd.DataFrame({"price": [1.5, 2.5], "age": [2, 3]})
    turned = numbers[["age", "price"]]
    expected = {"text": ["a", "b"], "price": [1.5, 2.5], "age": [2, 3]}
    settings = {"task": "regression"}
    config, corpora = prepare(["a", "b"], numbers, (["a", "b"], turned), None, settings)
    assert config.corpus.label_column == "price,age"
    assert corpora.train.values == corpora.validation.values == expected
    of_model = Columns(task="regression", names=("price", "age"))
    table = source_of(["a", "b"], turned, of_model, "rows")
    assert table.values["value"] == [[1.5, 2], [2.5, 3]]
    with pytest.raises(CorpusError, match="columns called price, age, received price, weight"):
        source_of(["a", "b"], numbers.rename(columns={"age": "weight"}), of_model, "rows")
    for names, reason in (
        (["price", "price"], "received two called 'price'"),
        (["price,age", "price"], "no comma and no space at an end, received 'price,age'"),
        (["text", "price"], "another name than 'text'"),
    ):
        with pytest.raises(CorpusError, match=reason):
            prepare(["a", "b"], numbers.set_axis(names, axis=1), None, None, settings)
