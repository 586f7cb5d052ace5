import json

import pytest

from gatewise.vocab.corpus import annotation_records, data_files
from gatewise.vocab.corpus.annotation_records import SUFFIXES, Annotation, write
from gatewise.vocab.corpus.bad_row_policy import CountBadRows, StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import open_corpus, read_rows, read_texts
from gatewise.vocab.corpus.record_stream import open_records


def label_studio(text, *choices, cancelled=False, question="sentiment"):
    result = {
        "id": "a1",
        "from_name": question,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": list(choices)},
    }
    return {
        "id": 1,
        "data": {"text": text, "page": 4},
        "annotations": [{"id": 2, "was_cancelled": cancelled, "result": [result]}],
        "predictions": [],
    }


def prodigy(text, *accepted, answer="accept"):
    options = [{"id": label, "text": label} for label in ("good", "bad")]
    hashes = {"_input_hash": -1530009927, "_task_hash": -340967702}
    return {
        "text": text,
        **hashes,
        "options": options,
        "accept": list(accepted),
        "answer": answer,
    }


def argilla(text, *values):
    responses = [{"value": value, "user_id": "u"} for value in values]
    suggestion = {"value": "bad", "score": None, "agent": None}
    return {
        "id": "r1",
        "fields": {"text": text},
        "metadata": {},
        "suggestions": {"sentiment": suggestion},
        "responses": {"sentiment": responses},
        "vectors": {},
        "_server_id": "s1",
    }


def doccano(text, *labels):
    return {"id": 1, "text": text, "label": list(labels), "Comments": []}


def written(folder, items, suffix=".json"):
    path = folder / f"export{suffix}"
    lines = map(json.dumps, items)
    path.write_text("\n".join(lines) if suffix == ".jsonl" else json.dumps(items, indent=1))
    return path


FORMS = [
    (label_studio, ".json"),
    (prodigy, ".jsonl"),
    (argilla, ".json"),
    (doccano, ".jsonl"),
    (doccano, ".json"),
]


@pytest.mark.parametrize(("item", "suffix"), FORMS)
def test_an_export_is_read_as_texts_with_a_label(tmp_path, item, suffix):
    path = written(tmp_path, [item("so nice", "good"), item("so sad", "bad")], suffix)
    rows = list(read_rows(path, bad_rows=StopAtBadRows()))
    assert [(row.text, row.labels) for row in rows] == [
        ("so nice", ("good",)),
        ("so sad", ("bad",)),
    ]


@pytest.mark.parametrize("item", [label_studio, prodigy, doccano])
def test_texts_with_several_labels_have_the_column_labels(tmp_path, item):
    path = written(tmp_path, [item("so nice", "good"), item("well", "good", "bad"), item("hm")])
    corpus = open_corpus(path)
    assert corpus.columns.task == "multi_label"
    found = [row.labels for row in corpus.rows(StopAtBadRows())]
    assert found == [("good",), ("bad", "good"), ()]


def test_the_most_frequent_of_several_annotations_counts(tmp_path):
    path = written(tmp_path, [argilla("x", "bad", "good", "good"), argilla("y", "bad", "good")])
    assert [row.label for row in read_rows(path, bad_rows=StopAtBadRows())] == ["good", "bad"]


@pytest.mark.parametrize(
    "unlabelled",
    [
        label_studio("so sad", "bad", cancelled=True),
        {**label_studio("so sad"), "annotations": []},
    ],
)
def test_a_task_without_an_annotation_has_no_label_but_a_text(tmp_path, unlabelled):
    path = written(tmp_path, [label_studio("so nice", "good"), unlabelled])
    bad_rows = CountBadRows()
    assert [row.text for row in read_rows(path, bad_rows=bad_rows)] == ["so nice"]
    assert bad_rows.first.reason == "the label is missing"
    assert list(read_texts(path, bad_rows=StopAtBadRows())) == ["so nice", "so sad"]


def test_a_rejected_suggestion_is_no_label(tmp_path):
    path = written(tmp_path, [prodigy("x", "good"), prodigy("y", "good", answer="reject")])
    bad_rows = CountBadRows()
    assert [row.text for row in read_rows(path, bad_rows=bad_rows)] == ["x"]
    assert bad_rows.count == 1


def test_each_of_several_questions_is_a_column(tmp_path):
    item = label_studio("so nice", "good")
    item["annotations"][0]["result"] += label_studio("", "short", question="length")["annotations"][
        0
    ]["result"]
    path = written(tmp_path, [item, item])
    records = open_corpus(path, columns("length")).records
    assert records.tables[0].columns == ("text", "sentiment", "length")


def columns(label):
    from gatewise.vocab.corpus.columns import Columns

    return Columns(label=label)


def test_a_plain_list_of_objects_is_read_with_its_own_columns(tmp_path):
    short = {"id": 7, "text": "so nice", "sentiment": "good", "annotation_id": 3, "lead_time": 1.5}
    path = tmp_path / "short.json"
    path.write_text(json.dumps([short, short]))
    rows = list(open_corpus(path, columns("sentiment")).rows(StopAtBadRows()))
    assert [row.label for row in rows] == ["good", "good"]


def test_a_list_reports_the_lines_of_its_objects_and_where_it_is_damaged(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('[\n{"text": "a", "label": "x"},\n"b",\n{"text": "c",\n "label": "y"},\n{"te')
    bad_rows = CountBadRows()
    rows = list(open_corpus(path).rows(bad_rows))
    assert [(row.text, row.location.line) for row in rows] == [("a", 2), ("c", 4)]
    assert (bad_rows.count, bad_rows.first.location.line) == (2, 3)
    assert bad_rows.first.reason == "expected a JSON object, received a string"


def test_plain_rows_with_lists_of_labels_are_no_annotations(tmp_path):
    rows = [{"id": 1, "text": "a", "label": ["x", "y"], "price": 2.5}]
    record, *_ = open_records(written(tmp_path, rows * 2, ".jsonl"))
    assert record.values == rows[0]


@pytest.mark.parametrize("part", [1, 7, 50])
def test_a_list_is_read_in_parts(tmp_path, monkeypatch, part):
    rows = [
        *({"text": f"text {number}", "label": "[]{},"[number % 5] * 20} for number in range(200)),
        {"text": "x" * 1000, "label": "y"},
    ]
    texts = {
        "lines.json": json.dumps(rows, indent=1),
        "line.json": json.dumps(rows),
        "after.json": json.dumps(rows, indent=1) + "\n\n{}\n",
    }
    expected = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"\n\n{text}", encoding="utf-8")
        expected[name] = list(open_records(tmp_path / name))
    read = []
    monkeypatch.setattr(annotation_records, "_PART", part)
    monkeypatch.setattr(data_files, "LINE_LIMIT", 300)  # of a line that is the whole list
    with monkeypatch.context() as counted:
        whole = annotation_records._part
        counted.setattr(
            annotation_records, "_part", lambda *of: read.append(len(found := whole(*of))) or found
        )
        records = open_records(tmp_path / "lines.json")
        assert sum(read) < len(texts["lines.json"]) * 1.8
    for name in texts:
        assert list(open_records(tmp_path / name)) == expected[name]
    assert [record.values for record in records] == rows
    assert expected["after.json"][-1].reason.endswith("expected the end of the file after it")


@pytest.mark.parametrize("text", ['[{"text": "a"}, {"te', '[{"text": "a"} 12', "[{}", "[ "])
def test_a_list_that_ends_in_the_middle_is_a_bad_row(tmp_path, monkeypatch, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    expected = list(open_records(path))
    monkeypatch.setattr(annotation_records, "_PART", 2)
    assert list(open_records(path)) == expected
    assert expected[-1].reason.startswith("invalid JSON list: ")


def test_an_item_of_another_form_is_a_bad_row(tmp_path):
    items = [label_studio("so nice", "good")] * 100 + [{"data": 5, "annotations": [7]}]
    bad_rows = CountBadRows()
    assert len(list(read_rows(written(tmp_path, items), bad_rows=bad_rows))) == 100
    assert "of the same form" in bad_rows.first.reason


EXPECTED = {
    "label-studio": {
        "data": {"text": "so sad", "file": "a.csv", "line": 3},
        "annotations": [
            {
                "result": [
                    {
                        "from_name": "label",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["good"]},
                    }
                ]
            }
        ],
        "predictions": [
            {
                "model_version": "gatewise",
                "score": 0.75,
                "result": [
                    {
                        "from_name": "label",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["bad"]},
                    }
                ],
            }
        ],
    },
    "prodigy": {
        "text": "so sad",
        "options": [{"id": "bad", "text": "bad"}, {"id": "good", "text": "good"}],
        "accept": ["bad"],
        "meta": {"file": "a.csv", "line": 3, "score": 0.75, "given": "good"},
    },
    "argilla": {
        "id": "a.csv:3",
        "fields": {"text": "so sad"},
        "metadata": {"file": "a.csv", "line": 3, "score": 0.75, "given": "good"},
        "suggestions": {"label": {"value": "bad", "score": 0.75, "agent": "gatewise"}},
        "responses": {},
        "vectors": {},
    },
    "doccano": {
        "text": "so sad",
        "label": ["bad"],
        "file": "a.csv",
        "line": 3,
        "score": 0.75,
        "given": "good",
    },
}


@pytest.mark.parametrize("tool", SUFFIXES)
def test_a_tool_gets_the_text_with_its_labels_and_the_suggestion(tmp_path, tool):
    path = tmp_path / f"rows{SUFFIXES[tool]}"
    row = Annotation("so sad", ("bad",), 0.75, ("good",), "a.csv", 3)
    write(path, tool, [row, row], ["bad", "good"])
    text = path.read_text()
    found = (
        json.loads(text) if SUFFIXES[tool] == ".json" else list(map(json.loads, text.splitlines()))
    )
    assert found == [EXPECTED[tool]] * 2
    assert list(read_texts(path, bad_rows=StopAtBadRows())) == ["so sad"] * 2


ANSWERS = (("a", ["x"]), ("b", None))


def test_what_follows_a_list_is_not_lost(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a", "label": "x"}]\n[{"text": "b", "label": "y"}]\n')
    record, bad = open_records(path)
    assert record.values == {"text": "a", "label": "x"}
    assert bad.reason == "invalid JSON list: expected the end of the file after it"


def test_an_answer_that_is_no_list_is_a_bad_row(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = ({"text": text, "accept": accept, "answer": "accept"} for text, accept in ANSWERS)
    path.write_text("\n".join(map(json.dumps, rows)))
    record, bad = open_records(path)
    assert record.values == {"text": "a", "label": "x"}
    assert "of the same form as the first ones" in bad.reason


def test_a_column_called_answer_makes_no_annotations(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "category": "s", "answer": "accept"}\n')
    (record,) = open_records(path)
    assert record.values == {"text": "a", "category": "s", "answer": "accept"}
