"""Local files whose names are not UTF-8, or look like a URI to pyarrow."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts
from gatewise.vocab.corpus.local_files import open_local

NAMES = [os.fsdecode(b"d\xe9p"), "run:1", "s3:x", "a b#c%20"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_file_of_any_name_is_read(tmp_path, name, suffix):
    folder = tmp_path / name
    folder.mkdir()
    file = folder / f"{name}.{suffix}"
    if suffix == "parquet":
        with open_local(file, "wb") as sink:
            pq.write_table(pa.table({"text": ["late parcel"]}), sink)
    else:
        text = {"csv": "text\nlate parcel\n", "jsonl": '{"text": "late parcel"}\n'}[suffix]
        file.write_text(text)
    for path in (file, folder):
        assert list(read_texts(path, bad_rows=StopAtBadRows())) == ["late parcel"]
