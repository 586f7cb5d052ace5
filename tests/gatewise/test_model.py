"""`Model`: evaluating, explaining, frames, and what a notebook shows."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gatewise as package
from gatewise.vocab.corpus.data_frames import column_names
from gatewise.vocab.errors import GatewiseError

TEXTS = ["red red", "blue", "grey"]
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table, "mapping": dict}


def test_rows_in_memory_and_a_file_are_evaluated_alike(gatewise, reviewer, reviews, tmp_path):
    texts, labels = reviews
    frame = pd.DataFrame({"body": texts, "topic": labels})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    reports = [
        reviewer.evaluate(texts, labels),
        reviewer.evaluate(frame, text_column="body", label_column="topic"),
        reviewer.evaluate(tmp_path / "rows.csv", text_column="body", label_column="topic"),
    ]
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0].rows, reports[0].accuracy > 0.8) == (len(texts), True)
    columns = ("--text-column", "body", "--label-column", "topic", "--json")
    code, stdout, _ = gatewise("evaluate", reviewer.folder, tmp_path / "rows.csv", *columns)
    assert code == 0
    assert json.loads(stdout) == json.loads(json.dumps(reports[0].as_dict()))
    with pytest.raises(ValueError, match="rows: 1 bad row: position 1: the text is missing"):
        reviewer.evaluate(["fine", None], ["good", "bad"])


def test_a_text_is_explained_token_by_token(gatewise, multi_label_folder):
    model = package.load(multi_label_folder)
    explained = model.explain("a red & blue day", label="red")
    assert explained.label == "red"
    shares = {token.text: token.share for token in explained.tokens}
    assert shares["red"] == pytest.approx(6, abs=1e-3)
    assert shares["blue"] == shares["day"] == 0
    html = explained._repr_html_()
    assert '<span style="background: rgba(46, 160, 67, 0.55)' in html
    assert "&amp;" in html
    assert explained.probability == pytest.approx(1 / (1 + np.exp(-3)), rel=1e-4)
    code, stdout, _ = gatewise("explain", multi_label_folder, "a red & blue day", "--label", "red")
    assert code == 0
    assert stdout.startswith("red 0.9526\n")
    assert "+6.0000" in stdout
    arguments = ("a red & blue day", "--label", "red", "--json")
    _, stdout, _ = gatewise("explain", multi_label_folder, *arguments)
    assert json.loads(stdout) == explained.as_dict()


def test_what_cannot_be_explained_is_refused(refused, multi_label_folder):
    model = package.load(multi_label_folder)
    with pytest.raises(
        GatewiseError, match="label: expected one of blue, green, red; received 'x'"
    ):
        model.explain("red", label="x")
    with pytest.raises(TypeError, match="text 0, counted from 0: expected a string"):
        model.explain(3)
    assert refused("explain", multi_label_folder, "red", "--label", "x").startswith("--label: expe")
    line = refused("explain", multi_label_folder, " ")
    assert line == "text 1: the text is empty: it holds no token to classify"


@pytest.mark.parametrize("kind", FRAMES)
def test_predictions_are_columns_of_the_same_kind_of_frame(kind, model_folder):
    model = package.load(model_folder)
    texts = ["Wo ist der Bahnhof?", "Where is the station?"]
    frame = FRAMES[kind]({"n": [1, 2], "body": texts})
    found = model.predict_frame(frame, text="body", top_k=2)
    assert type(found) is type(frame)
    values = {
        name: found[name].to_pylist() if kind == "arrow" else list(found[name])
        for name in ("n", "body", "label", "score", "label_2", "score_2")
    }
    assert values["body"] == texts
    assert values["label"] == model.predict(texts)
    probabilities = np.sort(model.predict_proba(texts), axis=1)
    np.testing.assert_allclose(values["score"], probabilities[:, -1], rtol=1e-6)
    np.testing.assert_allclose(values["score_2"], probabilities[:, -2], rtol=1e-6)
    again = model.predict_frame(found, text="body")
    assert "predicted_label" in map(str, column_names(again))


def test_predictions_have_their_types_where_no_value_shows_them(model_folder, multi_label_folder):
    one, several = map(package.load, (model_folder, multi_label_folder))
    rows = pa.table({"text": pa.array([None], pa.string())})
    for table in (rows, rows[:0]):
        found = one.predict_frame(table, missing="skip")
        assert found.schema.types[1:] == [pa.string(), pa.float32()]
        found = several.predict_frame(table, missing="skip")
        assert found.schema.types[1:] == [pa.list_(pa.string()), pa.list_(pa.float32())]
        found = one.predict_frame(pl.from_arrow(table), missing="skip")
        assert found.dtypes[1:] == [pl.String, pl.Float32]


def test_a_matrix_without_names_has_the_labels_of_the_model(multi_label_folder):
    model = package.load(multi_label_folder)
    texts = ["blue", "red blue", "grey"]
    named = model.evaluate(texts, [["blue"], ["blue", "red"], []])
    assert model.evaluate(texts, np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]])) == named
    with pytest.raises(GatewiseError, match="position 0: expected 3 numbers, one for each label"):
        model.evaluate(texts, np.array([[1, 0], [1, 1], [0, 0]]))


def test_a_value_in_place_of_a_column_is_refused(multi_label_folder):
    model = package.load(multi_label_folder)
    for table in ({"text": "red"}, {"text": 1}):
        with pytest.raises(GatewiseError, match="expected a column of values, received one of"):
            model.predict_frame(table)
        with pytest.raises(GatewiseError, match="expected a column of values, received one of"):
            model.evaluate({**table, "labels": [["red"]]})


def test_missing_texts_are_told_by_position_or_have_no_prediction(model_folder):
    model = package.load(model_folder)
    frame = pd.DataFrame({"text": ["Wo ist der Bahnhof?", None, " "]})
    with pytest.raises(ValueError, match="text 1, counted from 0: expected a string, received a"):
        model.predict_frame(frame)
    with pytest.raises(ValueError, match="text 1 is empty"):
        model.predict_frame(frame.drop(index=1))
    found = model.predict_frame(frame, missing="skip")
    assert found["label"].isna().tolist() == [False, True, True]
    assert found["label"][0] == model.predict(frame["text"][:1])[0]
    for wrong, message in (
        ({"text": "body"}, "no column 'body'; the columns are: text"),
        ({"missing": "drop"}, "missing: expected raise or skip, received 'drop'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict_frame(frame, **wrong)
    with pytest.raises(ValueError, match="expected a data frame, received a value of type list"):
        model.predict_frame(["a"])
    numbered = pd.DataFrame({0: ["Wo ist der Bahnhof?"]})
    assert model.predict_frame(numbered, text=0)["label"][0] == found["label"][0]
    twice = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(GatewiseError, match="the frame: expected columns with different names"):
        model.predict_frame(twice)


def test_a_notebook_shows_a_table_the_report_and_figures(reviewer, tmp_path, multi_label_folder):
    table = reviewer._repr_html_()
    assert "2: bad, good" in table
    assert "validation rows (95% interval" in table
    assert package.load(reviewer.folder)._repr_html_() == table
    report = reviewer.report()
    assert report.html == (reviewer.folder / "report.html").read_text(encoding="utf-8")
    assert report._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html
    curves, confusion = reviewer.curves(), reviewer.confusion()
    assert [axes.get_ylabel() for axes in curves.axes] == ["loss, in nats", "accuracy"]
    assert len(curves.axes[0].lines[0].get_xdata()) == len(reviewer.metrics["epochs"])
    (axes,) = confusion.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["bad", "good"]
    assert sum(int(text.get_text()) for text in axes.texts) == reviewer.metrics["review"]["rows"]
    assert curves._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(GatewiseError, match=r"expected report\.html, as gatewise train and"):
        package.load(multi_label_folder).report()
