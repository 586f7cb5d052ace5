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


def read(form, content):
    command = [sys.executable, "-c", SCRIPT, form]
    return subprocess.run(command, input=content, capture_output=True, cwd=ROOT, check=False)


def test_the_head_is_read_again():
    pipe = Pipe(io.BytesIO(b"abcdefghij"))
    with pipe.open() as look:
        assert (look.read(2), look.read(3), look.tell()) == (b"ab", b"cde", 5)
    with pipe.open() as look:
        assert (look.read(4), look.read(4), look.read(1)) == (b"abcd", b"e", b"f")
    with pipe.open() as whole:
        assert (whole.read(1), whole.read(9), whole.tell()) == (b"a", b"bcdef", 6)
        assert b"".join(iter(lambda: whole.read(2), b"")) == b"ghij"
        assert whole.tell() == 10


def test_what_cannot_be_read_is_refused(monkeypatch):
    pipe = Pipe(io.BytesIO(b"x"))
    for _ in range(3):
        pipe.open().close()
    with pytest.raises(CorpusError, match=r"can be read only once.*Write it to a file first"):
        pipe.open()
    with pytest.raises(CorpusError, match="only be read by the process that it belongs to"):
        pickle.loads(pickle.dumps(Pipe(io.BytesIO(b"x")))).open()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError, match="standard input: it is closed"):
        standard_input()


@pytest.mark.parametrize("form", ["csv", "jsonl", "csv.gz"])
def test_a_real_pipe_is_read_to_its_end(form):
    rows = 100_000
    if form == "jsonl":
        lines = [f'{{"text": "text {n}", "label": "a"}}\n' for n in range(rows)]
    else:
        lines = ["text,label\n", *(f"text {n},a\n" for n in range(rows))]
    content = "".join(lines).encode()
    if form.endswith("gz"):
        content = gzip.compress(content)
    ended = read(form, content)
    assert not ended.stderr
    printed = ended.stdout.decode().strip()
    assert printed == f"('text', 'label') {rows} text 0 text {rows - 1} None {len(content)}"


def test_a_pipe_without_a_byte_is_an_empty_file():
    ended = read("csv", b"")
    assert b"standard input: the file is empty; expected a header line" in ended.stderr
