"""Output columns: names that the input does not use, lists if the format allows them."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.output_columns import OutputColumns
from gatewise.service.scoring.score_file import score_file
from gatewise.vocab.corpus.data_files import Format
from gatewise.vocab.errors import CorpusError, OutputError

TEXTS = ["blue reddish", "grey", "red blue"]
LABELS = [["blue", "red"], [], ["blue", "red"]]


@pytest.fixture(scope="module")
def several(multi_label_folder):
    return Classifier.load(multi_label_folder)


def scored(classifier, folder, name, **options):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    (folder / "in.jsonl").write_text(lines, encoding="utf-8")
    done = score_file(classifier, folder / "in.jsonl", folder / name, ScoringOptions(**options))
    assert (done.label_column, done.score_column) == ("labels", "scores")
    return folder / name


def test_json_lines_and_parquet_have_lists(several, tmp_path):
    lines = scored(several, tmp_path, "out.jsonl").read_text(encoding="utf-8").splitlines()
    rows = list(map(json.loads, lines))
    assert [row["labels"] for row in rows] == LABELS
    table = pq.read_table(scored(several, tmp_path, "out.parquet"))
    assert table["labels"].to_pylist() == LABELS
    assert table.schema.field("scores").type == pa.list_(pa.float32())
    blue, red = rows[0]["scores"]
    assert table["scores"].to_pylist()[:2] == [pytest.approx([blue, red]), []]
    assert (blue, red) == pytest.approx((0.9526, 0.1192), abs=1e-4)


def test_lists_in_csv_are_separated_by_bars(several, tmp_path):
    with scored(several, tmp_path, "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["blue|red", "", "blue|red"]
    assert [float(score) for score in rows[0]["scores"].split("|")] == pytest.approx(
        [0.9526, 0.1192], abs=1e-4
    )
    assert rows[1]["scores"] == ""


def test_probability_columns_of_a_multi_label_model(several, tmp_path):
    table = pq.read_table(scored(several, tmp_path, "out.parquet", probabilities=True))
    expected = several.predict_proba(TEXTS)
    for column, label in zip(expected.T, several.classes_, strict=True):
        assert table[f"probability_{label}"].to_pylist() == column.tolist()


def test_columns_of_the_input_are_not_overwritten(several):
    columns = OutputColumns.for_input(several, ("text", "scores"), "in.csv", Format.CSV)
    assert columns.names == ("predicted_labels", "predicted_scores")
    with pytest.raises(CorpusError, match="the column 'predicted_scores' exists already"):
        OutputColumns.for_input(several, ("labels", "predicted_scores"), "in.csv", Format.CSV)


def test_label_with_a_bar_requires_a_format_with_lists(several, monkeypatch):
    monkeypatch.setattr(several, "classes_", ["a|b", "c", "d"])
    with pytest.raises(OutputError, match=r"the label 'a\|b' contains '\|'.* write \.jsonl or"):
        OutputColumns.for_input(several, ("text",), "in.csv", Format.CSV)
    assert (
        OutputColumns.for_input(several, ("text",), "in.csv", Format.JSON_LINES).classes[0] == "a|b"
    )
