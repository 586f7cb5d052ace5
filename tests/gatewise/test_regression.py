"""A model that predicts numbers, by the commands and in Python: each gives the same number."""

import csv
import json
import pickle
import re

import numpy as np
import onnxruntime as ort
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone, is_regressor

import gatewise as package
from gatewise.sklearn import TextRegressor
from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.vocab.errors import ArgumentError, CorpusError, GatewiseError
from gatewise.vocab.tokenizer.encoding import pad

TEXTS = ["the film was superb and fine", "an awful and poor story", "music"]


@pytest.fixture(scope="module")
def folder(numbers_run):
    return numbers_run[1]


@pytest.fixture(scope="module")
def model(folder):
    return package.load(folder)


@pytest.fixture(scope="module")
def test_rows(numbers_corpus):
    with (numbers_corpus / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], np.array([float(row["value"]) for row in rows])


def test_numbers_are_learnt(numbers_run):
    run, _ = numbers_run
    assert run.test.rmse < 0.5 * run.baselines.mean.rmse
    assert run.test.rmse > 3  # the noise of the corpus
    assert run.test.spearman > 0.8
    assert run.fitted.metric == "rmse"
    best = min(run.fitted.epochs, key=lambda epoch: epoch.metric)
    assert run.fitted.best.metric == best.metric
    assert run.baselines.mean.r2 == pytest.approx(0, abs=0.02)
    assert 0.8 < run.test.coverage <= 1


def test_the_network_itself_gives_the_numbers(model, test_rows):
    texts, truth = test_rows
    found = model.predict(texts)
    assert (found.dtype, found.shape) == (np.float32, (200,))
    session = ort.InferenceSession(model.artifact.model)
    batch = pad([each.ids for each in model.encode(texts)])
    inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
    np.testing.assert_allclose(session.run(["logits"], inputs)[0][:, 0], found, rtol=1e-5)
    report = model.evaluate(texts, truth)
    assert report.rmse == pytest.approx(np.sqrt(np.square(found - truth).mean()))
    within = np.abs(found - truth) <= model.interval.half_width
    assert report.coverage == pytest.approx(within.mean())


def test_every_door_gives_the_same_number(gatewise, folder, model, tmp_path):
    expected = model.predict(TEXTS)
    _, stdout, _ = gatewise("predict", folder, *TEXTS)
    lines = [line.split("\t") for line in stdout.splitlines()]
    assert [text for _, text in lines] == TEXTS
    assert (np.float32([number for number, _ in lines]) == expected).all()
    _, stdout, _ = gatewise("predict", folder, *TEXTS, "--json")
    found = [json.loads(line) for line in stdout.splitlines()]
    assert (np.float32([row["prediction"] for row in found]) == expected).all()
    half = model.interval.half_width
    assert [row["low"] for row in found] == pytest.approx((expected - half).tolist())
    assert [row["high"] for row in found] == pytest.approx((expected + half).tolist())
    given = pd.DataFrame({"text": TEXTS})
    for name in ("out.csv", "out.parquet"):
        given.to_csv(tmp_path / "in.csv", index=False)
        code, _, _ = gatewise("score", folder, tmp_path / "in.csv", "--out", tmp_path / name)
        assert code == 0
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column_names == ["text", "prediction", "low", "high"]
    assert (written["prediction"].to_numpy() == expected).all()
    read = pd.read_csv(tmp_path / "out.csv")
    assert (read["prediction"].to_numpy(np.float32) == expected).all()
    frame = model.predict_frame(given)
    assert (frame["prediction"].to_numpy(np.float32) == expected).all()
    assert frame["high"].tolist() == pytest.approx((expected + half).tolist())
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.predict(TEXTS) == expected).all()


def test_evaluate_prints_the_metrics(gatewise, folder, numbers_corpus, numbers_run):
    test = numbers_corpus / "test.csv"
    _, stdout, _ = gatewise("evaluate", folder, test, "--json")
    report = json.loads(stdout)
    assert report["rmse"] == pytest.approx(numbers_run[0].test.rmse)
    assert report.keys() >= {"rmse", "mae", "r2", "spearman", "rows", "coverage"}
    _, stdout, _ = gatewise("evaluate", folder, test)
    assert f"RMSE {report['rmse']:.4g}" in stdout


def test_a_share_is_what_the_number_loses_without_the_token(model):
    text = "the film was superb"
    found = model.explain(text)
    (number,) = model.predict([text])
    assert (found.label, found.probability) == ("value", pytest.approx(number))
    assert found.log_odds == pytest.approx(number, abs=1e-3)
    shares = {token.text: token.share for token in found.tokens}
    assert shares["superb"] == max(shares.values()) > 5


def test_the_folder_is_that_of_a_regression_of_hugging_face(gatewise, folder):
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert document["problem_type"] == "regression"
    assert document["id2label"] == {"0": "value"}
    _, stdout, _ = gatewise("inspect", folder)
    assert "regression" in stdout
    assert "with a confidence of 90%" in stdout
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Predicted by true number" in report
    assert "Confusions" not in report
    assert "RMSE" in (folder / "README.md").read_text(encoding="utf-8")
    models = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["models"]
    exact, _, integers = (each["rmse"] for each in models)
    assert integers == pytest.approx(exact, rel=0.1)


def test_what_numbers_have_not_is_refused(gatewise, folder, model, numbers_corpus, tmp_path):
    with pytest.raises(ArgumentError, match="use predict"):
        model.predict_proba(TEXTS)
    with pytest.raises(ArgumentError, match="not confused"):
        model.confusion()
    corpus = numbers_corpus / "test.csv"
    for command, option in (
        (("predict", folder, *TEXTS), ("--top-k", "2")),
        (("score", folder, corpus, "--out", tmp_path / "out.csv"), ("--probabilities",)),
        (("score", folder, corpus, "--out", tmp_path / "out.csv"), ("--none-below", "0.5")),
    ):
        code, _, stderr = gatewise(*command, *option)
        assert code == 1
        assert stderr == (
            f"gatewise: error: {option[0]}: expected a model that predicts labels; this one "
            "predicts numbers\n"
        )


@pytest.mark.parametrize(
    "setting",
    [
        *("reject.target_precision=0.9", "training.class_weights=balanced"),
        *("training.sampling=balanced", "training.label_smoothing=0.1"),
        *("training.metric=accuracy", "corpus.probability_prefix=p_"),
    ],
)
def test_settings_of_labels_are_refused(train, numbers_corpus, tmp_path, setting):
    settings = config.load(assignments=[setting])
    with pytest.raises(GatewiseError) as caught:
        train(tmp_path / "model", settings, numbers_corpus / "train.csv")
    assert str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("setting", ["training.metric=rmse", "training.loss=huber"])
def test_settings_of_numbers_are_refused_for_labels(train, languages, tmp_path, setting):
    settings = config.load(assignments=[setting])
    with pytest.raises(ConfigError, match=rf"{setting}: expected a corpus with numbers"):
        train(tmp_path / "model", settings, languages / "train.csv")


def test_equal_numbers_teach_nothing(train, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,value\n" + "fine,3\n" * 20, encoding="utf-8")
    with pytest.raises(CorpusError, match="nothing to learn"):
        train(tmp_path / "model", config.load(), path)


def test_check_hints_at_labels_that_are_numbers(gatewise, tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"film {chr(97 + stars)} {copy},{stars}.5" for stars in range(12) for copy in range(6)]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    _, stdout, _ = gatewise("check", path, "--set", "tokens.unit=word")
    assert "numeric-labels: the 12 labels are numbers" in stdout
    assert "corpus.task=regression" in stdout


def test_an_estimator_that_scikit_learn_scores_by_r2(test_rows):
    texts, truth = test_rows
    settings = {"units": 4, "embedding_size": 4, "buckets": 500, "epochs": 2, "spelling": ()}
    regressor = TextRegressor(unit="word", refit=False, **settings)
    assert is_regressor(regressor)
    fitted = clone(regressor).fit(texts[:150], truth[:150])
    found = fitted.predict(texts[150:])
    residuals, spread = truth[150:] - found, truth[150:] - truth[150:].mean()
    expected = 1 - np.square(residuals).sum() / np.square(spread).sum()
    assert fitted.score(texts[150:], truth[150:]) == pytest.approx(expected, rel=1e-6)
    assert expected > 0.3
    with pytest.raises(CorpusError, match="requires y"):
        regressor.fit(texts, None)


def test_the_shares_of_small_numbers_are_printed_with_digits(gatewise, scaled_numbers):
    code, stdout, stderr = gatewise("explain", scaled_numbers(1e-7), "the film was superb")
    assert code == 0, stderr
    assert re.search(r"superb │ \+\d\.\d+e-0[67] ", stdout)
