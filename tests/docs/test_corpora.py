"""docs/corpora.md: its small inputs give the messages that stand beside them."""

import ast
import gzip
import io
import json
import re
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.score_file import score_file
from gatewise.training.config.corpus_section import CorpusConfig
from gatewise.training.data import corpus_check
from gatewise.training.data.row_survey import TextKind
from gatewise.vocab.corpus.bad_row_policy import RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.data_files import COMPRESSIONS, LINE_LIMIT, SUFFIXES
from gatewise.vocab.corpus.json_records import _RECORDS_AHEAD
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.corpus.uris import is_uri
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoded_rows import encode_rows
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer


class Collecting:
    """A policy that keeps the bad rows, to look at them."""

    def __init__(self):
        self.rows: list[BadRow] = []

    @property
    def count(self):
        return len(self.rows)

    def keep(self, items):
        for item in items:
            if isinstance(item, BadRow):
                self.rows.append(item)
            else:
                yield item


@pytest.fixture(scope="module")
def encoder():
    return Encoder(train_tokenizer(["hello world bonjour"]), max_length=16)


def write(path, content):
    """Writes what a cell of a table describes: bytes, a table, or in words something else."""
    if not content.startswith("`"):
        {
            "nothing is there": lambda: None,
            "an empty file": path.touch,
            "an empty folder": path.mkdir,
            "a folder in the folder": lambda: (path / "more").mkdir(parents=True),
        }[content]()
    elif path.suffix == ".parquet" and content.startswith("`{"):
        pq.write_table(pa.table(json.loads(content.strip("`"))), path)
    else:
        escaped = content.strip("`").encode("ascii").decode("unicode_escape")
        path.write_bytes(escaped.encode("latin-1"))


def read(path, bad_rows, encoder):
    columns = Columns(probability_prefix="probability_")
    rows = read_rows(path, bad_rows=bad_rows, columns=columns, known_labels={"en", "fr"})
    return len(list(bad_rows.keep(encode_rows(encoder.encode, rows))))


def test_every_bad_row_is_reported_as_shown(tables, encoder, tmp_path):
    rows = tables("corpora", "Bad rows")
    assert len(rows) > 15
    for number, (name, content, message) in enumerate(rows):
        path = tmp_path / str(number) / name.strip("`")
        path.parent.mkdir()
        write(path, content)
        policy = Collecting()
        try:
            read(path, policy, encoder)
        except CorpusError as error:
            assert str(error) == f"{path}: holds no rows that can be used"  # noqa: PT017
        found = [f"{row.location.place}: {row.reason}" for row in policy.rows]
        assert found == [message.strip("`")], f"{name} with {content}"


def test_every_refusal_is_reported_as_shown(tables, encoder, tmp_path):
    rows = tables("corpora", "Refused outright")
    assert len(rows) > 10
    for number, (name, content, message) in enumerate(rows):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder / name.strip("`"), content)
        with pytest.raises(CorpusError) as caught:
            read(folder / name.strip("`"), Collecting(), encoder)
        found, expected = str(caught.value).replace(f"{folder}/", ""), message.strip("`")
        if expected.endswith("…"):
            assert found.startswith(expected.rstrip("…")), content
        else:
            assert found == expected, content


def test_a_single_label_is_refused_as_shown(page):
    with pytest.raises(CorpusError) as caught:
        Labels.of(["en"])
    assert f"`{caught.value}`" in page("corpora")


def test_the_key_without_a_column_is_reported_as_shown(page, model_folder, tmp_path):
    lines = ['{"text": "hello"}\n'] * _RECORDS_AHEAD + ['{"text": "hello", "n": 1}\n']
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="utf-8")
    classifier, aside = Classifier.load(model_folder), tmp_path / "rejects.jsonl"
    score_file(classifier, tmp_path / "a.jsonl", tmp_path / "out.csv", rejects=aside)
    (row,) = map(json.loads, aside.read_text(encoding="utf-8").splitlines())
    assert f"`{row['reason']}`" in page("corpora")


def test_the_two_policies_answer_as_shown(page, encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", page("corpora"), re.DOTALL))
    Path("train.csv").write_text(blocks["csv"], encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        read(Path("train.csv"), StopAtBadRows(), encoder)
    assert f"gatewise: error: {caught.value} (--rejects)\n" == blocks["text"]
    with RejectBadRows("rejects.jsonl") as policy:
        assert read(Path("train.csv"), policy, encoder) == 3
    assert Path("rejects.jsonl").read_text(encoding="utf-8") == blocks["json"]


def test_the_formats_are_those(page, tables):
    documented = {row[0].strip("`"): row[1] for row in tables("corpora", "Formats")}
    assert documented == {suffix: form.value for suffix, form in SUFFIXES.items()}
    assert all(f"`{suffix}`" in page("corpora") for suffix in COMPRESSIONS)
    assert f"{LINE_LIMIT:,} characters" in page("corpora")
    assert f"first {_RECORDS_AHEAD} records" in page("corpora")


def test_the_inputs_are_read_as_shown(tables, object_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = "text,label\nhello,en\n"
    shown = [row[0].split(",")[0].strip("`'") for row in tables("corpora", "Where files come from")]
    assert len(shown) > 5
    store = object_store.folder
    places = ("corpus/a.csv", "logs/2026-1/a.csv.gz", "train.csv")
    for path in [folder / place for folder in (tmp_path, store) for place in places]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode()
        )
    try:
        for name in shown:
            if name == "-":
                monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
            place = object_store.uri(name.partition("bucket/")[2]) if is_uri(name) else name
            assert len(list(open_records(place, standard_input="csv"))) == 1, name
    finally:
        for path in sorted(store.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_the_columns_are_those(tables):
    documented = {row[1].strip("`"): row[0] for row in tables("corpora", "Columns")}
    names = [name for name in CorpusConfig.model_fields if name.endswith("_column")]
    assert list(documented) == [f"corpus.{name}" for name in names]
    assert documented["corpus.text_column"] == f"`{CorpusConfig().text_column}`"
    # What is taken for the label is not a default but found: see
    # tests/vocab/corpus/test_columns.py.
    assert (CorpusConfig().label_column, documented["corpus.label_column"]) == (
        None,
        "`label`, else `labels`, else `value`, else `values`",
    )


def test_the_corpora_shown_are_read_as_documented(page, tmp_path):
    sections = dict(part.split("\n", 1) for part in page("corpora").split("\n## ")[1:])
    blocks = (
        ("several.jsonl", sections["Several labels a text"]),
        ("numbers.csv", sections["Numbers"]),
        ("several-numbers.csv", sections["Several numbers"]),
        ("soft.csv", sections["Soft labels"]),
    )
    rows = {}
    for name, section in blocks:
        (block,) = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
        (tmp_path / name).write_text(block, encoding="utf-8")
        label = "price,age" if name == "several-numbers.csv" else None
        columns = Columns(label=label, probability_prefix="probability_")
        rows[name] = list(read_rows(tmp_path / name, bad_rows=StopAtBadRows(), columns=columns))
    assert [row.labels for row in rows["several.jsonl"]] == [("joy", "surprise"), ()]
    assert [row.values for row in rows["numbers.csv"]] == [(4.5,), (1,)]
    assert [row.values for row in rows["several-numbers.csv"]] == [(249.5, 2), (80, 0.5)]
    assert [row.label for row in rows["soft.csv"]] == ["ham", "spam"]
    assert rows["soft.csv"][0].probabilities == (0.98, 0.02)


def test_every_finding_of_the_check_is_documented(tables) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(Path(corpus_check.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CorpusFinding"
    ]
    named = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    assert len(calls) == len(named) + 1
    codes = set(named)
    codes |= {f"{kind}-texts" for kind in get_args(TextKind)}
    documented = {
        code for row in tables("corpora", "The check") for code in re.findall("`(.+?)`", row[0])
    }
    assert documented == codes
