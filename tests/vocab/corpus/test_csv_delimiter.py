"""Delimiters: the usual one stays where it fits; others are found, or in doubt."""

import io

import pytest

from gatewise.vocab.corpus.csv_delimiter import find_delimiters
from gatewise.vocab.corpus.data_files import DataFile

ROWS = [("late, as ever", "a"), ("in time; well", "b"), ('he said "no"', "c"), ("two\nlines", "d")]


def find(content: str, name: str = "a.csv") -> tuple[str, ...]:
    return find_delimiters(DataFile.named(name), list(io.StringIO(content, newline="\n")))


def written(delimiter: str, rows: list[tuple[str, str]]) -> str:
    import csv

    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows([("text", "label"), *rows])
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_is_found_whatever_the_file_is_called(delimiter: str, name: str) -> None:
    for rows in (ROWS, ROWS[:1], []):
        assert find(written(delimiter, rows), name) == (delimiter,)


@pytest.mark.parametrize(
    "content",
    [
        # Every row fits the comma.
        "text;more,label\nx;y,a\n",
        "text|a,label|b\nx|y,1|2\n",
        # One column of texts.
        "text\nhello\n",
        "text\nhello; world\n",
        "Question; Answer\nhello\nyes; or no; or both\n",
        # Bad rows, which the reader names.
        "text,label\nhello, world, a\nhello, b, c\nx,a\n",
        'text,label\n"open,a\nx,b\n',
        "text,label\nx\ny\n",
        # Nothing to go by.
        "",
        "\n\n",
        'text,"label\nx,y\n',
    ],
)
def test_the_usual_delimiter_stays(content: str) -> None:
    assert find(content) == (",",)


def test_a_few_bad_rows_do_not_hide_the_delimiter() -> None:
    rows = "".join(f"text {n}, with a comma; and so on;a\n" for n in range(3))
    good = "".join(f"text {n}, with a comma;a\n" for n in range(30))
    assert find("text;label\n" + good + rows + '"open;a\n') == (";",)
    assert find("Nr;Text, kurz;Label\n" + "1;hello;a\n2;x;b\n3;x, y;b\n" * 9) == (";",)


def test_two_delimiters_that_fit_are_in_doubt() -> None:
    assert find("a;b|c\n" + "1;2|3\n" * 9) == (";", "|")
    assert find("text,a;label\n" + "x,y;1\nx;2\n" * 9) == (",", ";")


def test_a_record_that_is_cut_at_the_end_does_not_count() -> None:
    assert find('text;label\n"a, b";1\n"two, or\nmore') == (";",)
