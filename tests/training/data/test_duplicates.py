"""Duplicates: exact copies always, near ones by their similarity, and which rows are removed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.training.data.duplicates import PARTS, Example, Finder, Overlap
from gatewise.training.data.minhash import normalized


def look(train=(), validation=None, test=None, *, similarity=0.8, labels=None, window=1000):
    finder = Finder(similarity)
    for part, texts in zip(PARTS, (train, validation, test), strict=True):
        if texts is None:
            continue
        for start in range(0, max(len(texts), 1), window):
            some = slice(start, start + window)
            finder.add(part, texts[some], labels[part][some] if labels else None)
    return finder.found()


def plain(found):
    """All of what was found, to be compared."""
    removed = {part: rows.tolist() for part, rows in found.removed.items()}
    return found.rows, found.overlaps, found.conflicting, removed, found.examples


LONG = [f"word{number}" for number in range(60)]


def nearly(*, last):
    """A text of 58 runs; two that differ in the last word share 57 of 59."""
    return " ".join([*LONG[:-1], last])


def test_copies_are_counted_by_the_parts_they_are_found_in():
    found = look(
        train=["a", "b", "A ", "c", "a", "only here"],
        validation=["b", "d", "d", "v"],
        test=["a", "d", "t"],
    )
    assert found.rows == {"train": 6, "validation": 4, "test": 3}
    assert {parts: overlap.exact for parts, overlap in found.overlaps.items()} == {
        ("train", "train"): 2,
        ("train", "validation"): 1,
        ("train", "test"): 3,
        ("validation", "train"): 1,
        ("validation", "validation"): 1,
        ("validation", "test"): 2,
        ("test", "train"): 1,
        ("test", "validation"): 1,
        ("test", "test"): 0,
    }
    assert all(overlap.near == 0 for overlap in found.overlaps.values())
    removed = {part: rows.tolist() for part, rows in found.removed.items()}
    assert removed == {"train": [0, 1, 2, 4], "validation": [1, 2], "test": []}
    assert found.examples == (
        Example("exact", ("train", 0), ("train", 2), 1),
        Example("exact", ("train", 1), ("validation", 0), 1),
        Example("exact", ("train", 0), ("test", 0), 1),
        Example("exact", ("validation", 1), ("validation", 2), 1),
        Example("exact", ("validation", 1), ("test", 1), 1),
    )


def test_near_copies_are_counted_beside_the_exact_ones():
    found = look(
        train=[nearly(last="x"), "other words than these", nearly(last="y"), nearly(last="x")],
        test=[nearly(last="z"), "nothing like it at all"],
    )
    assert found.overlaps == {
        ("train", "train"): Overlap(exact=1, near=1),
        ("train", "test"): Overlap(exact=0, near=3),
        ("test", "train"): Overlap(exact=0, near=1),
        ("test", "test"): Overlap(exact=0, near=0),
    }
    assert found.removed["train"].tolist() == [0, 2, 3]
    near = [example for example in found.examples if example.kind == "near"]
    assert {(example.first, example.second) for example in near} == {
        (("train", 0), ("train", 2)),
        (("train", 0), ("test", 0)),
        (("train", 2), ("test", 0)),
    }
    assert all(0.8 <= example.similarity < 1 for example in near)


def test_copies_within_validation_and_test_are_counted_and_kept():
    found = look(["a"], ["b", "b", nearly(last="x"), nearly(last="y")], ["c", "c"])
    assert found.overlaps["validation", "validation"] == Overlap(exact=1, near=1)
    assert found.overlaps["test", "test"] == Overlap(exact=1, near=0)
    assert not any(len(rows) for rows in found.removed.values())


def test_once_removed_none_are_left_in_training():
    texts = [nearly(last=f"end{number % 7}") for number in range(30)] + ["a", "b", "a"]
    test = ["b", "c"]
    left = np.delete(np.array(texts, dtype=object), look(texts, test=test).removed["train"])
    assert left.tolist() == [texts[0], "a"]
    assert look(left.tolist(), test=test).summary() == "no text occurs more than once"


@pytest.mark.parametrize(
    ("changed", "similarity", "expected"),
    [(1, 0.9, 1), (1, 0.99, 0), (1, 1, 0), (8, 0.8, 0), (8, 0.5, 1)],
)
def test_similarity_is_the_share_of_runs_in_common(changed, similarity, expected):
    # The last words changed: 58 - changed runs of 58 + changed are shared.
    other = [*LONG[: 60 - changed], *(f"new{number}" for number in range(changed))]
    found = look([" ".join(LONG), " ".join(other)], similarity=similarity)
    assert found.overlaps["train", "train"].near == expected


def test_scripts_without_spaces_and_compatibility_forms():
    found = look(
        train=["江西师范大学2010年高考录取结果查询系统开通", "ＦＵＬＬ width"],
        test=["江西师范大学２０１０年高考录取结果查询系统开通了", "full WIDTH"],
    )
    assert found.overlaps["test", "train"] == Overlap(exact=1, near=1)


def test_ten_thousand_copies_and_a_thousand_near_ones_or_none():
    texts = ["the same text again and again"] * 10_000
    texts += [nearly(last=f"end{number}") for number in range(1000)]
    found = look(texts)
    assert found.overlaps["train", "train"] == Overlap(exact=9999, near=999)
    assert np.delete(np.arange(11_000), found.removed["train"]).tolist() == [0, 10_000]
    assert len(found.examples) == 1 + 5
    for count in (0, 1):
        found = look(texts[:count], [], [])
        assert found.rows == {"train": count, "validation": 0, "test": 0}
        assert (found.summary(), found.examples) == ("no text occurs more than once", ())


def test_labels_that_differ_are_reported():
    labels = {"train": ["x", "x", "y", "x"], "test": ["y", "z", "z"]}
    found = look(["a", "b", "a", "c"], test=["b", "d", "d"], labels=labels)
    assert found.conflicting == 4
    assert found.examples[:2] == (
        Example("conflict", ("train", 0), ("train", 2), 1),
        Example("conflict", ("train", 1), ("test", 0), 1),
    )
    assert look(["a", "a"]).conflicting is None
    assert look(["a", "a"], labels={"train": ["x", "x"]}).conflicting == 0


def test_figures_and_summary():
    labels = {"train": ["x", "y"], "test": ["x", "x"]}
    found = look(["a", "a"], test=[nearly(last="x"), nearly(last="y")], labels=labels)
    assert json.loads(json.dumps(found.as_dict())) == {
        "similarity": 0.8,
        "found": {
            "train": {"train": {"exact": 1, "near": 0}, "test": {"exact": 0, "near": 0}},
            "test": {"train": {"exact": 0, "near": 0}, "test": {"exact": 0, "near": 1}},
        },
        "conflicting": 2,
        "removable": {"train": 1, "test": 0},
    }
    assert found.summary() == (
        "1 of 2 train rows repeat an earlier one exactly, 0 nearly; "
        "0 of 2 test rows repeat an earlier one exactly, 1 nearly; "
        "2 rows have a copy with another label or number"
    )


# Few different texts, so that copies are met, written in several ways; a few are nearly the same.
SOME = ["a", "A", " a ", "b", "", "ﬁ", "fi", "\ud800", "one two three", "One  two three"]
SOME += ["你好世界", *(nearly(last=last) for last in "xyz")]
TEXTS = st.lists(st.sampled_from(SOME), max_size=12)


@given(train=TEXTS, validation=TEXTS, test=TEXTS, window=st.integers(1, 5))
def test_exact_copies_are_always_found_however_the_rows_come(train, validation, test, window):
    parts = dict(zip(PARTS, (train, validation, test), strict=True))
    labels = {part: [text[:1] for text in texts] for part, texts in parts.items()}
    found = look(*parts.values(), labels=labels, window=window)
    assert plain(found) == plain(look(*parts.values(), labels=labels))
    forms = {part: [normalized(text) for text in texts] for part, texts in parts.items()}
    for part, texts in forms.items():
        for other in PARTS:
            among = [texts[:row] if part == other else forms[other] for row in range(len(texts))]
            copies = [text in held for text, held in zip(texts, among, strict=True)]
            assert found.overlaps[part, other].exact == sum(copies)
            if part == "train" or PARTS.index(part) < PARTS.index(other):
                assert set(np.flatnonzero(copies)) <= set(found.removed[part].tolist())
    labels_of = {}
    for part, texts in forms.items():
        for text, label in zip(texts, labels[part], strict=True):
            labels_of.setdefault(text, []).append(label)
    assert (found.conflicting or 0) == sum(
        len(of_text) for of_text in labels_of.values() if len(set(of_text)) > 1
    )


def test_near_duplicates_with_another_label_are_found_on_request():
    texts = [nearly(last=str(number)) for number in range(3)] + ["something else altogether here"]
    labels = ["x", "x", "y", "y"]
    finder = Finder(0.8, max_conflicts=10)
    finder.add("train", texts, labels)
    pairs = [(each.first[1], each.second[1]) for each in conflicts(finder.found())]
    assert sorted(pairs) == [(0, 2), (1, 2)]
    assert not conflicts(look(train=texts, labels={"train": labels}))


def conflicts(found):
    return [example for example in found.examples if example.kind == "near-conflict"]
