"""Signatures: what makes two texts the same, and an estimate that is true on average."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.training.data import minhash
from gatewise.training.data.minhash import LANES, normalized, signatures


def signature(text):
    signed, found = signatures([normalized(text)])
    assert signed.all()
    return found[0]


def likeness(first, second):
    return float(np.mean(signature(first) == signature(second)))


def sharing(count, of, seed):
    """Two texts of different words, each with `of` runs, of which they share `count`."""
    words = [f"w{seed}x{number}" for number in range(2 * of)]
    first = words[: of + 2]
    return " ".join(first), " ".join([*first[: count + 2], *words[of + 2 :][: of - count]])


def test_which_texts_are_the_same():
    for one, other in (
        ("Good  morning", "good\nmorning "),
        ("STRASSE", "straße"),
        ("ﬁne", "fine"),
        ("２０２６年", "2026年"),
        ("e\u0301t\u00e9", "\u00e9te\u0301"),
    ):
        assert normalized(one) == normalized(other)
    for one, other in (("good", "good!"), ("été", "ete"), ("a b", "ab"), ("х", "x")):
        assert normalized(one) != normalized(other)


@pytest.mark.parametrize(("shared", "of"), [(20, 100), (90, 100), (8, 9)])
def test_the_estimate_is_right_on_average(shared, of):
    estimates = [likeness(*sharing(shared, of, seed)) for seed in range(200)]
    true = shared / (2 * of - shared)
    deviation = (true * (1 - true) / LANES) ** 0.5
    assert np.mean(estimates) == pytest.approx(true, abs=4 * deviation / 200**0.5)
    # As much as for LANES independent draws: no lane repeats another.
    assert np.std(estimates) == pytest.approx(deviation, rel=0.25)
    # Texts of a single run are the same or share next to nothing.
    _, found = signatures([f"one two three{number}" for number in range(2000)])
    assert (found[:1] == found[1:]).sum(axis=1).max() <= 2


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("good morning to you", 4),
        ("well, - that's it...", 4),
        ("i like it 😀", 4),
        ("你好 世界", 4),
        ("版本2.0发布", 6),
        ("สวัสดี", 6),
        ("नमस्ते दुनिया भर के", 4),
        ("안녕하세요 세계 여러분", 3),
    ],
)
def test_units(text, units):
    _, counts = minhash._runs([text])
    assert counts.tolist() == [units - 2]


def test_without_three_units_there_is_no_signature():
    texts = ["", "one", "one two", "?!... -- ,,", "\x00", "你好"]
    signed, found = signatures([*texts, "one two three", *texts])
    assert signed.tolist() == [
        text == "one two three" for text in [*texts, "one two three", *texts]
    ]
    assert found.shape == (1, LANES)


def test_symbols_count_and_punctuation_does_not():
    assert likeness("so that is it then", "So, that is it -- then!") == 1
    assert likeness("so that is it 😀", "so that is it 😡") < 0.8
    assert likeness("so that is it", "so that it is") == 0


def plain_units(text):
    """What the module documents, unit by unit; for scripts with spaces."""
    units = [""]
    for character in text:
        kind = unicodedata.category(character)[0]
        if kind in "LMN":
            units[-1] += character
        else:
            units += [character, ""] if kind == "S" else [""]
    return [unit for unit in units if unit]


TEXTS = st.text(st.sampled_from("ab é.,+😀'١\u0301\ud800"), max_size=12)


@given(st.lists(TEXTS, max_size=8))
def test_a_signature_depends_on_the_set_of_runs_alone(texts):
    signed, found = signatures(texts)
    runs = []
    for text in texts:
        units = plain_units(text)
        runs.append(frozenset(zip(units, units[1:], units[2:], strict=False)))
    assert signed.tolist() == [bool(of) for of in runs]
    runs = [of for of in runs if of]
    for one, of in zip(found, runs, strict=True):
        for other, of_other in zip(found, runs, strict=True):
            assert (one == other).all() == (of == of_other)


def test_pieces_and_windows_change_nothing_and_the_end_of_a_giant_text_is_left_out(monkeypatch):
    texts = [f"{'many words and ' * (number % 50)} number {number}" for number in range(300)]
    signed, found = signatures(texts)
    monkeypatch.setattr(minhash, "_CHARACTERS", 100)
    monkeypatch.setattr(minhash, "_RUNS", 10)
    again, found_again = signatures(texts)
    assert (signed == again).all()
    assert (found == found_again).all()
    monkeypatch.setattr(minhash, "_LONGEST", 20)
    assert likeness("one two three four and this", "one two three four and that") == 1
    assert likeness("one two three four", "one two three five") < 1


def test_signatures_are_these():
    # Others would change what is removed from a corpus, and with it every model of a seed.
    assert signature("the quick brown fox")[:4].tolist() == [18819, 57579, 28611, 24861]
