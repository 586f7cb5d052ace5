"""Texts from Python callers: columns of every kind are taken, everything else refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gatewise
from gatewise.service.model.texts import checked_texts
from gatewise.vocab.errors import GatewiseError

TEXTS = ["Wo ist der Bahnhof?", "where is the station"]
FRAME = pd.DataFrame({"subject": ["late", "early"], "body": TEXTS})


@pytest.mark.parametrize(
    "column",
    [
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        FRAME["body"],
        FRAME["body"].astype("string"),
        FRAME["body"].astype("category"),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        pa.array(TEXTS).dictionary_encode(),
    ],
    ids=lambda column: type(column).__name__,
)
def test_a_column_of_any_kind_is_a_list_of_strings(column) -> None:
    assert checked_texts(column) == TEXTS


REFUSED = [
    ("one text", "received one string: wrap it in a list"),
    (b"one text", "received one string: wrap it in a list"),
    (FRAME[["body"]], r'received a table of type DataFrame: choose one, such as frame\["text"\]'),
    (FRAME.to_numpy(), "received a table of type ndarray"),
    (np.array("one text"), "received a table of type ndarray"),
    (pa.table({"text": TEXTS}), "received a table of type Table"),
    ({"text": TEXTS}, "received a table of type dict"),
    (set(TEXTS), "expected a sequence of texts, received a value of type set"),
    (7, "expected a sequence of texts, received a value of type int"),
    (None, "expected a sequence of texts, received a value of type NoneType"),
    (FRAME.to_numpy().tolist(), "text 0, counted from 0: expected a string.* of type list"),
    ([*TEXTS, 5], "text 2, counted from 0: expected a string.*, received a value of type int"),
    ([b"late"], "text 0, counted from 0: expected a string.*, received a value of type bytes"),
    ([*TEXTS, "\ud800"], "text 2, counted from 0: expected Unicode, received a lone surrogate"),
]
MISSING = [None, math.nan, np.nan, pd.NA, pd.NaT]


@pytest.mark.parametrize(("given", "reason"), REFUSED)
def test_what_is_no_sequence_of_texts_is_refused_everywhere(
    model_folder: Path, given: object, reason: str
) -> None:
    model = gatewise.load(model_folder)
    for ask in (
        model.predict,
        model.predict_proba,
        lambda it: gatewise.score_texts(it, model_folder),
    ):
        for kind in (GatewiseError, TypeError, ValueError):
            with pytest.raises(kind, match=reason):
                ask(given)


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_text_is_refused_by_its_position(model_folder: Path, missing: object) -> None:
    model = gatewise.load(model_folder)
    for given in ([TEXTS[0], missing], pd.Series([TEXTS[0], missing], dtype=object)):
        for ask in (model.predict, model.predict_proba):
            with pytest.raises(
                GatewiseError,
                match=r"^text 1, counted from 0: expected a string, received a missing value$",
            ):
                ask(given)


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_text_can_be_replaced(missing: object) -> None:
    assert checked_texts([missing, "a"], missing="") == ["", "a"]


def test_the_answers_for_a_column_are_those_for_a_list(model_folder: Path) -> None:
    model = gatewise.load(model_folder)
    assert model.predict(FRAME["body"]) == model.predict(TEXTS)
    assert model.predict_proba(pa.array(TEXTS)).tolist() == model.predict_proba(TEXTS).tolist()
