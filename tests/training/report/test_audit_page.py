"""The page of an audit, for few labels and for many."""

import pytest

from gatewise.training.data.corpora import Copy
from gatewise.training.data.duplicates import Duplicates, Overlap
from gatewise.training.evaluation.error_analysis import Confused, LabelCounts
from gatewise.training.labelling.audit import AuditedRow
from gatewise.training.report.audit_page import AuditContents, audit_page
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location


def contents(count, *, several=False, hostile="<b>"):
    names = [f"label {number:02d} {hostile}" for number in range(count)]
    suspects = [
        AuditedRow("a.csv", number, f"text {number} {hostile}", (names[0],), (names[1],), 0.9, True)
        for number in range(30)
    ]
    rows = tuple(Row(f"copy {hostile}", (name,), Location("a.csv", 2)) for name in names[:2])
    near = Copy("near-conflict", 0.875, ("train", "train"), rows)
    duplicates = Duplicates(0.8, {"train": 99}, {("train", "train"): Overlap(4, 5)}, 2, {}, ())
    return AuditContents(
        rows=99,
        multi_label=several,
        suspects=suspects,
        labels=[LabelCounts(name, 6, 4, 4) for name in names],
        confused=[Confused(names[0], names[1], 4), Confused(names[1], names[0], 4)],
        duplicates=duplicates,
        conflicts=[near],
        copies=[],
        single=[names[-1]],
    )


@pytest.mark.parametrize(("count", "several"), [(2, False), (21, False), (3, True)])
def test_the_page_has_every_part_and_escapes_texts(count, several):
    html = audit_page(contents(count, several=several))
    assert "30 of 99 rows may have a wrong label" in html
    assert "10 more" in html
    assert "near duplicate with another label" in html
    assert "can hardly be told apart: 40.0%" in html
    assert "1 label has a single row" in html
    assert "text 3 &lt;b&gt;" in html
    assert "<b>label" not in html.replace("<b><bdi>", "")
    assert "script-src 'sha256-" in html


def test_an_audit_without_findings():
    nothing = contents(2)
    empty = AuditContents(
        **{
            name: getattr(nothing, name) for name in ("rows", "multi_label", "labels", "duplicates")
        },
        suspects=[],
        confused=[],
        conflicts=[],
        copies=[],
        single=[],
    )
    html = audit_page(empty)
    assert "No row has a label that is estimated to be wrong." in html
    assert "No label was predicted in place of another." in html
