"""Files as people have them: encodings and delimiters are found and reported, set, or refused."""

import io
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.errors import ArgumentError, CorpusError

ROWS = [("Größe passt nicht; schade", "a"), ('Schöne "Grüße", danke', "b"), ("zu\nspät", "c")]


def csv_text(delimiter: str, rows: list[tuple[str, str]]) -> str:
    lines = [("text", "label"), *rows]
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in line] for line in lines)
    return "".join(delimiter.join(line) + "\r\n" for line in quoted)


def write(path: Path, content: bytes) -> Path:
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write(content)
    return path


def read(path: Path, **options: str) -> tuple[list[tuple[int, object, object]], list[BadRow]]:
    """The line, text and label of each good record, and the bad rows."""
    items = list(open_records(path, options=ReadOptions(**options)))
    good = [item for item in items if isinstance(item, Record)]
    values = [(each.location.line, each.values["text"], each.values["label"]) for each in good]
    return values, [item for item in items if isinstance(item, BadRow)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".csv.zst"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_every_dialect_gives_the_same_rows(
    tmp_path: Path, encoding: str, delimiter: str, suffix: str
) -> None:
    path = write(tmp_path / f"a{suffix}", csv_text(delimiter, ROWS).encode(encoding))
    good, bad = read(path)
    assert good == [(line, *row) for line, row in zip((2, 3, 4), ROWS, strict=True)]
    assert bad == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_json_lines_of_every_encoding_give_the_same_rows(tmp_path: Path, encoding: str) -> None:
    lines = '{"text": "Größe: 5 €", "label": "a"}\n{"text": "für", "label": "b"}\n'
    good, bad = read(write(tmp_path / "a.jsonl", lines.encode(encoding)))
    assert good == [(1, "Größe: 5 €", "a"), (2, "für", "b")]
    assert bad == []


def test_what_was_found_is_noted_in_one_line(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        write(tmp_path / name, csv_text(";", ROWS).encode("cp1252"))
    write(tmp_path / "d.tsv", csv_text("\t", ROWS).encode("utf-8-sig"))
    write(tmp_path / "e.csv", csv_text("\t", ROWS).encode())
    names = ", ".join(str(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv"))
    assert open_records(tmp_path).notes == (
        f"{names}: read with the encoding cp1252 and the delimiter ;, found in its first bytes",
        f"{tmp_path / 'e.csv'}: read with the delimiter tab, found in its first bytes",
    )
    # What is set goes without saying.
    path = tmp_path / "a.csv"
    assert open_records(path, options=ReadOptions(delimiter=";", encoding="cp1252")).notes == ()


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label|more\nseñor,a|b\n".encode("cp1252"))
    with pytest.raises(CorpusError) as caught:
        open_records(path)
    assert (str(caught.value), caught.value.option) == (
        (
            f"{path}: the text is not UTF-8, and its encoding may be cp1252 or cp1250. Name the "
            "encoding, or save the file as UTF-8"
        ),
        "encoding",
    )
    for encoding, text in (("cp1252", "señor"), ("cp1250", "seńor")):
        options = ReadOptions(encoding=encoding)
        (record,) = open_records(path, options=options)
        assert record.values == {"text": text, "label|more": "a|b"}
    (record,) = open_records(path, options=ReadOptions(delimiter="|", encoding="cp1252"))
    assert record.values == {"text,label": "señor,a", "more": "b"}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_bytes_that_an_encoding_does_not_have_are_no_traceback(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b'{"text": 1}\n' * 3)
    with pytest.raises(
        CorpusError, match=r"cannot be read as utf-16: .*Name its encoding"
    ) as raised:
        list(open_records(path, options=ReadOptions(encoding="utf-16")))
    assert raised.value.option == "encoding"
    with pytest.raises(ArgumentError, match="encoding: expected one that Python knows"):
        ReadOptions(encoding="idna")


def test_a_delimiter_in_doubt_is_refused_with_the_candidates(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"a;b|text\n1;2|x\n")
    with pytest.raises(CorpusError) as caught:
        open_records(path)
    assert (str(caught.value), caught.value.option) == (
        f"{path}: the delimiter may be ; or |, and the rows fit none clearly. Name the delimiter",
        "delimiter",
    )
    assert open_records(path, options=ReadOptions(delimiter="|")).tables[0].columns == (
        "a;b",
        "text",
    )


def test_a_wrong_guess_loses_no_row_in_silence(tmp_path: Path) -> None:
    plain = "".join(f"plain words {number};a\n" for number in range(40_000))
    content = b"text;label\n" + plain.encode() + b"caf\xe9;b\nx,c\nlast;d\n"
    good, bad = read(write(tmp_path / "a.csv", content))
    assert len(good) == 40_001
    assert good[-1] == (40_004, "last", "d")
    assert [(row.location.line, row.reason) for row in bad] == [
        (40_002, "column 'text' holds the byte 0xe9, which is not UTF-8"),
        (40_003, "expected 2 cells, received 1"),
    ]


def test_a_byte_that_its_code_page_lacks_makes_one_bad_row(tmp_path: Path) -> None:
    rows = "".join(f"für den Käufer {number},a\n" for number in range(20_000)).encode("cp1252")
    good, bad = read(write(tmp_path / "a.csv", b"text,label\n" + rows + b"\x81,a\nend,b\n"))
    assert len(good) == 20_001
    assert [(row.location.line, row.reason) for row in bad] == [
        (20_002, "column 'text' holds the byte 0x81, which is not cp1252"),
    ]


def test_damaged_utf_16_is_named(tmp_path: Path) -> None:
    content = "text,label\nx,a\n\ud800,b\nz,c\n".encode("utf-16-le", "surrogatepass")
    good, bad = read(write(tmp_path / "a.csv", b"\xff\xfe" + content))
    assert [line for line, _, _ in good] == [2, 4]
    assert [row.reason for row in bad] == ["column 'text' holds \\ud800, half of a surrogate pair"]
    cut = write(tmp_path / "b.csv", b"\xff\xfe" + content[:-1])
    with pytest.raises(CorpusError, match=r"b\.csv: cannot be read as UTF-16: truncated data"):
        read(cut)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", bytes(range(256)) * 20)
    with pytest.raises(CorpusError, match="not UTF-8, and its encoding is none that is known"):
        open_records(path)


def test_standard_input_is_found_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = csv_text(";", ROWS * 60_000).encode("cp1252")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    stream = open_records("-", standard_input="csv")
    assert [(item.values["text"], item.values["label"]) for item in stream] == ROWS * 60_000
    assert stream.notes == (
        (
            "standard input: read with the encoding cp1252 and the delimiter ;, found in its first "
            "bytes"
        ),
    )


NO_ENCODING = "encoding: expected one that Python knows, such as utf-8, utf-16 or cp1252, received"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"delimiter": ";;"}, "delimiter: expected one character such as ; or tab, received ';;'"),
        ({"delimiter": '"'}, "delimiter: expected one character such as ; or tab, received '\"'"),
        ({"delimiter": ""}, "delimiter: expected one character such as ; or tab, received ''"),
        (
            {"encoding": "cp99999"},
            f"{NO_ENCODING} 'cp99999'",
        ),
        (
            {"encoding": "base64"},
            f"{NO_ENCODING} 'base64'",
        ),
    ],
)
def test_invalid_options_are_refused(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ReadOptions(**options)
    assert str(caught.value) == reason
    assert caught.value.option == next(iter(options))


def test_names_of_options() -> None:
    assert ReadOptions(delimiter="tab").delimiter == "\t" == ReadOptions(delimiter="\t").delimiter
    for name in ("utf8", "UTF-8", "utf_8_sig"):
        assert ReadOptions(encoding=name).encoding == "UTF-8"
