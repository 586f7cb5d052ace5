"""`score_file`: columns, order, bad rows, refusals; the output is complete or absent."""

import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.service.scoring import chunks
from gatewise.service.scoring.destination import Destination
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import ArgumentError, CorpusError, GatewiseError, OutputError
from gatewise.vocab.tokenizer.encoded_rows import EMPTY_TEXT_REASON
from gatewise.vocab.tokenizer.encoding import Encoded, Ragged


class ParityClassifier:
    """A classifier of the parity of the number of words; it reads at most ten tokens."""

    task, multi_label, thresholds, reject = "single_label", False, None, None
    artifact = SimpleNamespace(sha256="0" * 64, model_file=Path("model.onnx"))
    encoding = SimpleNamespace(features=0, column_of=str)

    def __init__(self):
        self.classes_ = ["even", "odd"]
        self.largest_call = 0

    def encode_together(self, texts):
        words = [[word for word in text.split() if word != "?"] for text in texts]
        ids = [np.array([2, *map(len, row)], dtype=np.int64) for row in words]
        return Ragged.of([Encoded(row[:10], truncated=len(row) > 10) for row in ids])

    def probabilities(self, encoded):
        self.largest_call = max(self.largest_call, len(encoded))
        odd = np.where(encoded.lengths % 2 == 0, np.float32(0.9), np.float32(0.2))
        return np.stack([1 - odd, odd], axis=1)


def score(source, target, rows=4096, on_progress=None, **options):
    classifier = ParityClassifier()
    rejects = options.pop("rejects", None)
    scoring_options, parallelism = ScoringOptions(**options), Parallelism(chunk_rows=rows)
    return score_file(
        classifier,
        source,
        target,
        scoring_options,
        rejects=rejects,
        parallelism=parallelism,
        on_progress=on_progress,
    )


def rows_of(path):
    return [dict(record.values) for record in open_records(path)]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text('id,text,note\n1,one,"a ""b"""\n2,one two,\n3,' + "w " * 20 + ",é\n", "utf-8")
    return path


def test_columns_of_arrow_keep_their_types(tmp_path: Path) -> None:
    made = pa.table({"text": ["one", "one two"], "id": pa.array([1, 2], pa.int8())})
    with pa.ipc.new_stream(str(tmp_path / "in.arrow"), made.schema) as stream:
        stream.write_table(made)
    score(tmp_path / "in.arrow", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.field("id").type == pa.int8()
    assert found["id"].to_pylist() == [1, 2]


def class_labels(path: Path, *names: str) -> Path:
    """A Parquet file with class labels, as numbers, as Hugging Face's `datasets` writes them."""
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    features["tags"] = {"feature": features["label"], "_type": "List"}
    made = pa.table({"text": ["one", "one two"], "label": [1, -1], "tags": [[0, 1], None]})
    info = json.dumps({"info": {"features": features}})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(made.replace_schema_metadata({"huggingface": info}), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_class_labels_have_their_names_in_text(tmp_path: Path, suffix: str) -> None:
    score(class_labels(tmp_path / "in.parquet", "ham", "spam"), tmp_path / f"out.{suffix}")
    first, second = rows_of(tmp_path / f"out.{suffix}")
    tags = ["ham", "spam"] if suffix == "jsonl" else '["ham", "spam"]'
    assert (first["label"], first["tags"]) == ("spam", tags)
    assert not second["label"]


def test_class_labels_stay_numbers_where_the_file_has_their_names(tmp_path: Path) -> None:
    class_labels(tmp_path / "in" / "a.parquet", "ham", "spam")
    score(tmp_path / "in", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["label"].to_pylist() == [1, -1]
    assert open_records(tmp_path / "out.parquet").tables[0].class_names["label"] == ("ham", "spam")
    # The number 1 stands for another label in another file.
    class_labels(tmp_path / "in" / "b.parquet", "spam", "ham")
    score(tmp_path / "in", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["label"].to_pylist() == ["spam", None, "ham", None]
    assert found["tags"].to_pylist() == [["ham", "spam"], None, ["spam", "ham"], None]
    assert b"huggingface" not in (found.schema.metadata or {})


def test_only_some_formats_are_written(source: Path) -> None:
    for name in ("out.txt", "out.xlsx", "out.arrow"):
        with pytest.raises(OutputError, match=r"ends in .*\.parquet, alone or followed by \.gz"):
            score(source, source.with_name(name))


def test_a_folder_for_each_class_is_scored_file_by_file(tmp_path: Path) -> None:
    for name, text in {"a/1.txt": "one two", "b/1.txt": "one, \n two three"}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_text(text)
    score(tmp_path / "in", tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert [(row["text"], row["label"], row["predicted_label"]) for row in rows] == [
        ("one two", "a", "even"),
        ("one, \n two three", "b", "odd"),
    ]
    with pytest.raises(OutputError, match="lies in"):
        score(tmp_path / "in", tmp_path / "in" / "out.csv")


DIALECT_ROWS = [("für 5 €", "a;b"), ('"schön" gut, ja', "c"), ("zu\nspät", "")]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_text_of_another_dialect_is_written_as_utf_8_with_commas(
    tmp_path: Path, encoding: str
) -> None:
    lines = [("text", "note"), *DIALECT_ROWS]
    quoted = (";".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)
    (tmp_path / "in.csv").write_bytes("".join(line + "\n" for line in quoted).encode(encoding))
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["text", "note", "label", "score"]
    assert [(text, note) for text, note, _, _ in rows] == DIALECT_ROWS
    # With the comma, a row is not parsed and formatted again.
    lines = [
        line.replace('";"', '","') for line in (tmp_path / "in.csv").read_text(encoding).split("\n")
    ]
    (tmp_path / "commas.csv").write_text("\n".join(lines), encoding)
    score(tmp_path / "commas.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text("utf-8").splitlines()[1].startswith('"für 5 €","a;b",')


def test_json_lines_of_utf_16_are_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "für  1.10"}\n', "utf-16")
    score(path, tmp_path / "out.jsonl")
    row = (tmp_path / "out.jsonl").read_text("utf-8")
    assert row.startswith('{"text": "für  1.10", "label": ')


def test_the_dialect_that_is_set_is_taken(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes("text\nseñor\n".encode("cp1252"))
    with pytest.raises(CorpusError, match="may be cp1252 or cp1250"):
        score(tmp_path / "in.csv", tmp_path / "out.csv")
    score(tmp_path / "in.csv", tmp_path / "out.csv", read=ReadOptions(encoding="cp1250"))
    assert rows_of(tmp_path / "out.csv")[0]["text"] == "seńor"


@pytest.mark.parametrize("name", ["out.csv", "out.tsv.gz", "out.jsonl.zst", "out.parquet"])
def test_columns_are_kept_and_label_and_score_added(source, name):
    target = source.with_name(name)
    done = score(source, target)
    assert (done.rows, done.scored, done.rejected, done.truncated) == (3, 3, 0, 1)
    assert (done.label_column, done.score_column) == ("label", "score")
    assert done.seconds > 0
    rows = rows_of(target)
    assert list(rows[0]) == ["id", "text", "note", "label", "score"]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["note"] for row in rows] == ['a "b"', "", "é"]
    assert [row["label"] for row in rows] == ["odd", "even", "odd"]
    scores = np.array([float(row["score"]) for row in rows], np.float32)
    assert scores.tolist() == np.array([0.9, 0.8, 0.9], np.float32).tolist()


def test_probability_columns(source):
    done = score(source, source.with_name("out.parquet"), probabilities=True)
    assert done.probability_columns == 2
    written = pq.read_table(source.with_name("out.parquet"))
    assert written.column_names[-3:] == ["score", "probability_even", "probability_odd"]
    rows = zip(*(written[name].to_pylist() for name in written.column_names[-2:]), strict=True)
    for row, odd in zip(rows, (0.9, 0.2, 0.9), strict=True):
        assert row == pytest.approx((1 - odd, odd), abs=1e-6)
    assert written.schema.field("probability_odd").type == pa.float32()


@pytest.mark.parametrize("own", ["label", "score"])
def test_existing_label_or_score_column_is_kept(tmp_path, own):
    source = tmp_path / "in.csv"
    source.write_text(f"text,{own}\none,mine\n")
    done = score(source, tmp_path / "out.csv")
    assert (done.label_column, done.score_column) == ("predicted_label", "predicted_score")
    assert rows_of(tmp_path / "out.csv") == [
        {"text": "one", own: "mine", "predicted_label": "odd", "predicted_score": "0.9"}
    ]
    source.write_text("text,label,predicted_score\none,a,b\n")
    with pytest.raises(CorpusError, match="the column 'predicted_score' exists already"):
        score(source, tmp_path / "out.csv")


def test_parquet_to_parquet_keeps_types(tmp_path):
    table = pa.table(
        {
            "id": pa.array(range(5000), pa.int16()),
            "text": pa.array(["one", "one two"] * 2500, pa.large_string()),
            "when": pa.array(range(5000), pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    assert written["label"].to_pylist() == ["odd", "even"] * 2500
    assert written.schema.field("score").type == pa.float32()


def test_parquet_files_must_have_the_same_types(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, number in (("a", 1), ("b", "1")):
        pq.write_table(pa.table({"text": ["one"], "n": [number]}), folder / f"{name}.parquet")
    with pytest.raises(
        CorpusError, match=r"b\.parquet: column 'n' has the type string, and in .*a\.parquet"
    ):
        score(folder, tmp_path / "out.parquet")


def test_folder_becomes_one_table_with_all_columns(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("text,a\none,1\n")
    (folder / "b.jsonl").write_text('{"b": [2], "text": "one two"}\n')
    score(folder, tmp_path / "out.csv")
    assert [list(row.values()) for row in rows_of(tmp_path / "out.csv")] == [
        ["one", "1", "", "odd", "0.9"],
        ["one two", "", "[2]", "even", "0.8"],
    ]


def test_rows_keep_their_order_across_chunks(tmp_path):
    texts = ["w " * (1 + number % 7) + str(number) for number in range(1000)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    classifier, progress = ParityClassifier(), []
    score_file(
        classifier,
        tmp_path / "in.jsonl",
        tmp_path / "out.jsonl",
        parallelism=Parallelism(chunk_rows=300),
        on_progress=lambda counts, _: progress.append(counts.rows),
    )
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows] == [
        "odd" if len(text.split()) % 2 else "even" for text in texts
    ]
    assert progress == [300, 600, 900, 1000]
    assert classifier.largest_call == 300


def test_chunk_of_long_texts_ends_early(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_CHARACTERS", 1000)
    (tmp_path / "in.csv").write_text("text\n" + ("long " * 100 + "\n") * 10)
    progress: list[int] = []
    score(
        tmp_path / "in.csv",
        tmp_path / "out.csv",
        on_progress=lambda counts, _: progress.append(counts.rows),
    )
    assert progress == [2, 4, 6, 8, 10]


BAD = "id,text\n1,one\n2,\n3,? ?\n4,one two\n5\n6,one\n"


def test_bad_rows_are_rejected_and_the_rest_is_scored(tmp_path):
    (tmp_path / "in.csv").write_text(BAD)
    rejects = tmp_path / "rejects.jsonl"
    done = score(tmp_path / "in.csv", tmp_path / "out.csv", rejects=rejects, rows=2)
    assert (done.rows, done.scored, done.rejected) == (6, 3, 3)
    assert [row["id"] for row in rows_of(tmp_path / "out.csv")] == ["1", "4", "6"]
    entries = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(entry["line"], entry["reason"], entry["content"]) for entry in entries] == [
        (3, "the text is missing", "2,"),
        (4, EMPTY_TEXT_REASON, "3,? ?"),
        (6, "expected 2 cells, received 1", "5"),
    ]


def test_bad_row_without_a_rejects_file_ends_the_run(tmp_path):
    (tmp_path / "in.csv").write_text(BAD)
    with pytest.raises(BadRowsError, match="the first 3 bad rows: line 3: the text is missing; "):
        score(tmp_path / "in.csv", tmp_path / "out.csv", rows=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("name", "columns", "scored"),
    [
        ("out.csv", None, 100),
        ("out.parquet", None, 100),
        ("out.jsonl", None, 101),
        # A key that is not selected is ignored; `label` is the column that scoring adds.
        ("out.csv", ("text", "label"), 101),
    ],
)
def test_json_key_without_a_column_is_a_bad_row(tmp_path, name, columns, scored):
    records = [{"text": "one"}] * 100 + [{"text": "one", "new": 1}, {"text": "one", "label": "x"}]
    source, rejects = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in records))
    done = score(source, tmp_path / name, rejects=rejects, columns=columns)
    assert (done.scored, done.rejected) == (scored, 102 - scored)
    assert "the key 'label' is not among those" in rejects.read_text()
    if columns:
        rows = {tuple(row.items()) for row in rows_of(tmp_path / name)}
        assert rows == {(("text", "one"), ("label", "odd"))}


def test_column_without_nulls_may_be_missing_in_another_file(tmp_path):
    full, bare = tmp_path / "a.parquet", tmp_path / "b.parquet"
    text = pa.field("text", pa.string(), nullable=False)
    number = pa.field("n", pa.int64(), nullable=False)
    rows = pa.table([pa.array(["one"]), pa.array([1])], schema=pa.schema([text, number]))
    pq.write_table(rows, full)
    pq.write_table(rows.select(["text"]), bare)
    for inputs in ([full, bare], [bare, full]):
        score_file(ParityClassifier(), inputs, tmp_path / "out.parquet")
        schema = pq.read_schema(tmp_path / "out.parquet")
        assert (schema.field("text").nullable, schema.field("n").nullable) == (False, True)
        assert {row["n"] for row in rows_of(tmp_path / "out.parquet")} == {1, None}


def test_arguments_are_checked(source):
    out = source.with_name("out.csv")
    with pytest.raises(ArgumentError, match="expected one input at least, received none"):
        score_file(ParityClassifier(), [], out)
    with pytest.raises(GatewiseError, match="workers: expected one at least, received 0"):
        score_file(ParityClassifier(), source, out, parallelism=Parallelism(workers=0))
    with pytest.raises(CorpusError, match="no column 'body'; the columns are: id, text, note"):
        score(source, out, text_column="body")


def test_input_is_never_the_output(source):
    before = source.read_bytes()
    link = source.with_name("link.csv")
    link.symlink_to(source)
    hard = source.with_name("hard.csv")
    hard.hardlink_to(source)
    for target in (source, link, hard, source.parent / "." / "in.csv"):
        with pytest.raises(OutputError, match="the output is the input"):
            score(source, target)
    with pytest.raises(OutputError, match="lies in the input folder"):
        score(source.parent, source.with_name("out.csv"))
    assert source.read_bytes() == before


def test_output_that_the_next_run_would_read_is_refused(tmp_path):
    inputs = tmp_path / "an input"
    inputs.mkdir()
    source = inputs / "in 1.jsonl"
    source.write_text('{"text": "one"}\n{}\n')
    before = source.read_bytes()
    out, uri = tmp_path / "out.jsonl", f"file://{quote(str(inputs))}"
    link = tmp_path / "link"
    link.symlink_to(inputs)
    refused = [
        (source, f"{uri}/in%201.jsonl", out, "the output is the input"),
        (f"{uri}/in%201.jsonl", source, out, "the output is the input"),
        (inputs, f"{uri}/new.jsonl", out, "the output lies in the input folder"),
        (inputs, out, inputs / "rejects.jsonl", "the rejects file lies in the input folder"),
        (inputs / "*.jsonl", source, out, "the output is the input"),
        (inputs / "*.jsonl", inputs / "new.jsonl", out, "the output matches .*the next run"),
        (f"{uri}/*.jsonl", inputs / "new.jsonl", out, "the output matches .*the next run"),
        (tmp_path / "an*" / "**" / "i*.jsonl", inputs / "it.jsonl", out, "the output matches"),
        (inputs / "*.jsonl", out, inputs / "rejects.jsonl", "the rejects file matches"),
        (source, out, out, "the rejects file is the output"),
    ]
    for given, output, rejects, reason in refused:
        with pytest.raises(OutputError, match=reason):
            score_file(ParityClassifier(), given, output, rejects=rejects)
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["an input", "link"]
    assert [path.name for path in inputs.iterdir()] == [source.name]
    for given in (source, inputs / "in*.jsonl", f"{uri}/i*"):
        score_file(ParityClassifier(), given, inputs / "scored.jsonl", rejects=tmp_path / "r.jsonl")
        (inputs / "scored.jsonl").unlink()


def test_file_uri_is_written_like_a_path(source):
    out = source.with_name("ä 1#%.csv")
    seen: list[str] = []

    def list_folder(*_):
        seen.extend(path.name for path in source.parent.iterdir())

    score(source, f"file://{quote(str(out))}", on_progress=list_folder)
    assert set(seen) == {source.name, f".{out.name}.partial"}
    assert len(rows_of(out)) == 3


@pytest.fixture
def locked(tmp_path):
    """A folder that this user can neither read nor write."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o000)
    user = os.geteuid()
    if user == 0:
        # Root may do everything; the other user needs access to the parent folders.
        for path in (tmp_path, *tmp_path.parents):
            if path.stat().st_mode & 0o777 == 0o700:
                path.chmod(0o755)
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


def test_unwritable_target_is_refused_before_the_work(locked):
    long = locked.parent / f"{'x' * 300}.csv"
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        Destination.named(long)
    for target in ((locked / "out.csv",), (locked.parent / "out.csv", locked / "rejects.jsonl")):
        with pytest.raises(OutputError, match="cannot be written: "):
            Destination.named(*target)


def test_interrupt_leaves_no_output(source):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(source, source.with_name("out.csv"), on_progress=interrupt)
    assert [path.name for path in source.parent.iterdir()] == ["in.csv"]


def test_top_k_columns(source):
    score(source, source.with_name("out.csv"), top_k=5)
    first, second, _ = rows_of(source.with_name("out.csv"))
    assert list(first)[3:] == ["label", "score", "label_2", "score_2"]
    assert list(first.values())[3:] == ["odd", "0.9", "even", "0.100000024"]
    assert list(second.values())[3:] == ["even", "0.8", "odd", "0.2"]


def test_none_below_rejects_texts(source):
    out = source.with_name("out.jsonl")
    score(source, out, top_k=2, none_below=0.85)
    assert [(row["label"], row["label_2"]) for row in rows_of(out)] == [
        ("odd", "even"),
        ("none of these", "even"),
        ("odd", "even"),
    ]
    assert rows_of(out)[1]["score"] == 0.8
    for wrong in (-0.1, 1.1):
        with pytest.raises(GatewiseError, match="expected a probability from 0 to 1, received"):
            score(source, out, none_below=wrong)


def test_columns_can_be_selected(source, tmp_path):
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        score(source, tmp_path / name, columns=("label", "id"))
        assert [list(row.items()) for row in rows_of(tmp_path / name)] == [
            [("label", "odd"), ("id", "1")],
            [("label", "even"), ("id", "2")],
            [("label", "odd"), ("id", "3")],
        ]
    for columns, reason in (
        (("label", "lable"), "no column 'lable'; the columns are: id, text, note, label, score"),
        (("id", "id"), "'id' is named twice"),
        ((), "expected one column at least"),
    ):
        with pytest.raises(ArgumentError, match=f"columns: {reason}"):
            score(source, tmp_path / "out.csv", columns=columns)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_that_keep_their_format_are_not_changed(tmp_path, suffix):
    rows = {
        ".csv": ['"n",text', '"1.10",one', "2,'one two'"],
        ".jsonl": ['{"n":1.10,  "text": "one"}', '{"text": "one two", "more": 1E2 }'],
    }[suffix]
    (tmp_path / f"in{suffix}").write_text("\r\n".join(rows))
    score(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    written = (tmp_path / f"out{suffix}").read_text().splitlines()
    if suffix == ".csv":
        assert written == ["n,text,label,score", '"1.10",one,odd,0.9', "2,'one two',even,0.8"]
    else:
        assert written == [
            '{"n":1.10,  "text": "one", "label": "odd", "score": 0.9}',
            '{"text": "one two", "more": 1E2, "label": "even", "score": 0.8}',
        ]


def test_input_that_changes_during_the_run_is_refused(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "one two\n" * 100)

    def append(*_):
        with source.open("a") as file:
            file.write("three\n")

    with pytest.raises(CorpusError, match=r"in\.csv: was changed while it was read"):
        score(source, tmp_path / "out.csv", on_progress=append)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
