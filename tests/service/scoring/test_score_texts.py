"""`score_texts`: one value per text, None for missing texts, the model loaded once."""

import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest

import gatewise
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.scoring import chunks
from gatewise.service.scoring import score_texts as texts
from gatewise.service.scoring.score_texts import score_texts
from gatewise.vocab.errors import GatewiseError

TEXTS = ["Wo ist der Bahnhof?", "where is the station", "駅はどこですか"]


def test_labels_and_scores_are_those_of_the_classifier(model_folder, classifier):
    columns = gatewise.score_texts(TEXTS, model_folder)
    assert list(columns) == ["predicted_label", "predicted_score"]
    assert columns["predicted_label"] == classifier.predict(TEXTS)
    best = classifier.predict_proba(TEXTS).max(axis=1)
    assert np.array(columns["predicted_score"], np.float32).tolist() == best.tolist()


def test_result_of_a_text_does_not_depend_on_the_others(model_folder):
    together = score_texts(TEXTS * 40, model_folder, probabilities=True)
    for place, text in enumerate(TEXTS):
        alone = score_texts([text], str(model_folder), probabilities=True)
        assert {name: [values[place]] for name, values in together.items()} == alone


def test_result_does_not_depend_on_chunks_and_workers(model_folder, monkeypatch):
    given = [*TEXTS, None, "", *(f"{text} {number}" for number in range(20) for text in TEXTS)]
    expected = score_texts(given, model_folder, top_k=2)
    monkeypatch.setattr(chunks, "_CHUNK_CHARACTERS", 100)
    for workers in (1, 3, None):
        assert score_texts(given, model_folder, top_k=2, workers=workers) == expected
    with pytest.raises(GatewiseError, match="workers: expected one at least, received 0"):
        score_texts(given, model_folder, workers=0)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT, "\x00"])
def test_missing_text_has_none_in_every_column(model_folder, missing):
    columns = score_texts([missing, TEXTS[0], missing], model_folder, top_k=2)
    assert list(columns) == [
        "predicted_label",
        "predicted_score",
        "predicted_label_2",
        "predicted_score_2",
    ]
    for values in columns.values():
        assert [values[0], values[2]] == [None, None]
        assert values[1] is not None
    assert score_texts([], model_folder) == {"predicted_label": [], "predicted_score": []}
    assert score_texts([missing], model_folder) == {
        "predicted_label": [None],
        "predicted_score": [None],
    }


def test_multi_label_columns_are_lists(multi_label_folder):
    columns = score_texts(["blue reddish", "", "grey"], multi_label_folder)
    assert columns["predicted_labels"] == [["blue", "red"], None, []]
    assert [len(scores) if scores else scores for scores in columns["predicted_scores"]] == [
        2,
        None,
        [],
    ]


def test_none_below_rejects_texts(model_folder):
    assert (
        score_texts(TEXTS, model_folder, none_below=1)["predicted_label"] == ["none of these"] * 3
    )


def test_invalid_text_is_refused(model_folder):
    with pytest.raises(GatewiseError, match=r"text 1, counted from 0: expected a string .* int"):
        score_texts(["a", 17], model_folder)
    with pytest.raises(
        GatewiseError, match="text 0, counted from 0: expected Unicode, received a lone surrogate"
    ):
        score_texts(["\ud800"], model_folder)
    with pytest.raises(ModelFolderError):
        score_texts(["a"], model_folder / "none")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("one text", "received one string: wrap it in a list"),
        (pd.DataFrame({"text": TEXTS}), "received a table of type DataFrame"),
        (np.array([TEXTS]), "received a table of type ndarray"),
    ],
)
def test_string_or_table_instead_of_a_column_is_refused(model_folder, given, reason):
    with pytest.raises(TypeError, match=reason):
        score_texts(given, model_folder)


def test_columns_of_numpy_and_pandas(model_folder):
    expected = score_texts(TEXTS, model_folder)
    for column in (
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        iter(TEXTS),
    ):
        assert score_texts(column, model_folder) == expected


def test_invalid_arguments_are_refused(model_folder):
    for top_k in (0,):
        with pytest.raises(GatewiseError, match=f"top_k: expected one label .* received {top_k}"):
            score_texts(TEXTS, model_folder, top_k=top_k)
    with pytest.raises(ModelFolderError, match="unknown precision 'fp64': expected one of fp32"):
        score_texts(TEXTS, model_folder, precision="fp64")


def test_model_is_loaded_once_until_it_is_replaced(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    texts._loaded.cache_clear()
    for _ in range(3):
        score_texts(TEXTS, folder)
    assert texts._loaded.cache_info().misses == 1
    shutil.rmtree(folder)
    with pytest.raises(ModelFolderError):
        score_texts(TEXTS, folder)
    shutil.copytree(model_folder, folder)
    os.utime(folder / "manifest.json", ns=(1, 1))
    score_texts(TEXTS, folder)
    assert texts._loaded.cache_info().misses == 3


def test_a_label_column_of_the_frame_is_not_replaced(model_folder):
    frame = pd.DataFrame({"text": TEXTS, "label": ["gold"] * 3, "labels": [["gold"]] * 3})
    scored = frame.assign(**score_texts(frame["text"], model_folder))
    assert scored["label"].tolist() == ["gold"] * 3
    assert list(scored) == ["text", "label", "labels", "predicted_label", "predicted_score"]
