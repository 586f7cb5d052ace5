"""Standard input: looked at, then read, in its one pass."""

import gzip
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from gatewise.vocab.corpus.standard_input import Pipe, standard_input
from gatewise.vocab.errors import CorpusError

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import open_records
stream, progress = open_records("-", standard_input=sys.argv[1]), ReadProgress()
texts = [record.values["text"] for record in stream.records(progress)]
print(stream.tables[0].columns, len(texts), texts[0], texts[-1], stream.size, progress.done)
"""


def test_the_head_is_given_out_again() -> None:
    pipe = Pipe(io.BytesIO(b"abcdefghij"))
    with pipe.open() as look:
        assert (look.read(2), look.read(3), look.tell()) == (b"ab", b"cde", 5)
    with pipe.open() as look:
        assert (look.read(4), look.read(4), look.read(1)) == (b"abcd", b"e", b"f")
    with pipe.open() as whole:
        assert (whole.read(1), whole.read(9), whole.tell()) == (b"a", b"bcdef", 6)
        assert b"".join(iter(lambda: whole.read(2), b"")) == b"ghij"
        assert whole.tell() == 10


def test_there_is_no_fourth_pass() -> None:
    pipe = Pipe(io.BytesIO(b"x"))
    for _ in range(3):
        pipe.open().close()
    with pytest.raises(CorpusError, match=r"can be read only once.*Write it to a file first"):
        pipe.open()


def test_a_copy_in_another_process_has_no_bytes() -> None:
    with pytest.raises(CorpusError, match="only be read by the process that it belongs to"):
        pickle.loads(pickle.dumps(Pipe(io.BytesIO(b"x")))).open()


def test_closed_standard_input_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError, match="standard input: it is closed"):
        standard_input()


@pytest.mark.parametrize("form", ["csv", "jsonl", "csv.gz"])
def test_a_real_pipe_is_read_to_its_end(form: str) -> None:
    rows = 200_000
    if form == "jsonl":
        content = "".join(f'{{"text": "text {n}", "label": "a"}}\n' for n in range(rows)).encode()
        columns = ("text", "label")
    else:
        content = "".join(["text,label\n", *(f"text {n},a\n" for n in range(rows))]).encode()
        columns = ("text", "label")
    if form.endswith("gz"):
        content = gzip.compress(content)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, form],
        input=content,
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert not ended.stderr
    told = ended.stdout.decode().strip()
    assert told == f"{columns} {rows} text 0 text {rows - 1} None {len(content)}"


def test_a_pipe_without_a_byte_is_an_empty_file() -> None:
    command = [sys.executable, "-c", SCRIPT, "csv"]
    ended = subprocess.run(command, input=b"", capture_output=True, cwd=ROOT, check=False)
    assert b"standard input: the file is empty; expected a header line" in ended.stderr
