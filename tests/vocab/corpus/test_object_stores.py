"""Object stores: a real S3 server on the loopback address, and files by their URI."""

import gzip
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.vocab.corpus import object_stores
from gatewise.vocab.corpus.input_files import data_files
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import CorpusError, OutputError

CSV = b"text,label\nhello,en\nbonjour,fr\n"


@pytest.fixture
def bucket(object_store) -> Iterator[Path]:
    """The folder behind the bucket, with a few objects in it."""
    folder = object_store.folder
    before = set(folder.iterdir())
    (folder / "logs" / "2026-11-01").mkdir(parents=True)
    (folder / "logs" / "2026-11-02").mkdir()
    (folder / "logs" / "2026-11-01" / "a.csv").write_bytes(CSV)
    (folder / "logs" / "2026-11-01" / "b.csv.gz").write_bytes(gzip.compress(CSV))
    (folder / "logs" / "2026-11-02" / "a.csv").write_bytes(CSV)
    (folder / "logs" / "2026-11-02" / ".a.csv").write_bytes(CSV)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert before == set(folder.iterdir())


def read(*uris: str) -> tuple[list[str], int | None, int]:
    """The texts, the size of the files, and the bytes that were read of them."""
    stream, progress = open_records(*uris), ReadProgress()
    texts = [str(record.values["text"]) for record in stream.records(progress)]
    return texts, stream.size, progress.done


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("logs/2026-11-01/a.csv", 1),
        ("logs/2026-11-01", 2),
        ("logs/2026-11-01/", 2),
        ("logs/2026-11-02", 1),
        ("logs/*/a.csv", 2),
        ("logs/2026-11-0[12]/*", 3),
        ("**/*.gz", 1),
        ("**", 3),
    ],
)
def test_objects_are_read_by_name_by_prefix_and_by_pattern(
    object_store, bucket: Path, path: str, files: int
) -> None:
    texts, size, done = read(object_store.uri(path))
    assert texts == ["hello", "bonjour"] * files
    assert size == done


def test_messages_name_an_object_without_the_options(object_store, bucket: Path) -> None:
    (bucket / "50% #1 é.csv").write_bytes(CSV + b"only one cell\n")
    (*_, bad) = open_records(object_store.uri("50% #1 é.csv"))
    assert str(bad.location) == "s3://bucket/50% #1 é.csv, line 4"
    assert len(data_files(object_store.uri("50%*"))) == 1


def test_parquet_is_read_from_a_store(object_store, bucket: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), bucket / "a.parquet")
    stream, progress = open_records(object_store.uri("a.parquet")), ReadProgress()
    assert [str(record.location) for record in stream.records(progress)] == [
        "s3://bucket/a.parquet, row 1",
        "s3://bucket/a.parquet, row 2",
    ]
    assert progress.done == stream.size == (bucket / "a.parquet").stat().st_size


def test_a_large_object_is_read_in_pieces(object_store, bucket: Path) -> None:
    content = b"text\n" + b"".join(b"%s\n" % os.urandom(60).hex().encode() for _ in range(200_000))
    (bucket / "large.csv").write_bytes(content)
    stream, progress = open_records(object_store.uri("large.csv")), ReadProgress()
    records = stream.records(progress)
    next(records)
    assert 0 < progress.done < len(content)
    assert sum(1 for _ in records) == 199_999
    assert progress.done == len(content)


def test_a_listed_object_and_a_named_one_have_one_stamp(object_store, bucket: Path) -> None:
    path = bucket / "logs" / "2026-11-02" / "a.csv"
    os.utime(path, ns=(0, 1_700_000_000_987_654_321))
    (named,) = data_files(object_store.uri("logs/2026-11-02/a.csv"))
    (listed,) = data_files(object_store.uri("logs/2026-11-02"))
    assert named.stamp == listed.stamp
    assert named.stamp.size == len(CSV)
    assert named.stamp.modified_ns == 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "s3://bucket/none.csv: no such file or folder"),
        ("none/*.csv", "s3://bucket/none/*.csv: no file has this name or matches it as a pattern"),
        ("logs", "s3://bucket/logs/2026-11-01: a folder inside the corpus folder"),
        ("logs/*", "s3://bucket/logs/2026-11-01: a folder that matches s3://bucket/logs/*"),
        ("notes.md", "s3://bucket/notes.md: unknown kind of file"),
        ("empty.csv", "s3://bucket/empty.csv: the file is empty; expected a header line"),
        ("damaged.csv.gz", "s3://bucket/damaged.csv.gz: cannot be read: "),
    ],
)
def test_unreadable_objects_are_refused(
    object_store, bucket: Path, path: str, message: str
) -> None:
    (bucket / "notes.md").write_text("x")
    (bucket / "empty.csv").touch()
    (bucket / "damaged.csv.gz").write_bytes(gzip.compress(os.urandom(100_000).hex().encode())[:-9])
    with pytest.raises(CorpusError) as caught:
        list(open_records(object_store.uri(path)))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_object_that_is_named_twice_is_refused(object_store, bucket: Path) -> None:
    uris = object_store.uri("logs/2026-11-01/a.csv"), object_store.uri("logs/*/a.csv")
    with pytest.raises(CorpusError, match=r"^s3://bucket/logs/2026-11-01/a\.csv: named twice, by "):
        data_files(*uris)


def test_credentials_in_the_uri_are_never_printed(
    object_store, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = object_store.uri("logs/2026-11-01/a.csv")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    mine = uri.replace("://", f"://{object_store.key}:{object_store.secret}@")
    assert read(mine)[0] == ["hello", "bonjour"]
    wrong = uri.replace("://", f"://{object_store.key}:SECRETOFANOTHER@")
    with pytest.raises(
        CorpusError, match=r"^s3://\*\*\*@bucket/logs.*: cannot be read: "
    ) as caught:
        read(wrong)
    assert "SECRETOFANOTHER" not in str(caught.value)
    assert object_store.key not in str(caught.value)


def test_an_unknown_option_is_named_without_its_value() -> None:
    with pytest.raises(CorpusError, match=r"cannot be read: .*'secret_key'") as caught:
        read("s3://bucket/a.csv?region=a&secret_key=SECRET")
    assert "SECRET" not in str(caught.value)


def test_a_store_that_does_not_answer_is_an_error() -> None:
    uri = "s3://bucket/a.csv?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"
    with pytest.raises(CorpusError, match=r"^s3://bucket/a\.csv: cannot be read: "):
        data_files(uri)


@pytest.mark.parametrize("size", [0, 30_000_000])
def test_a_file_is_uploaded(object_store, bucket: Path, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    for uri in (object_store.uri("sent"), f"file://{tmp_path}/sent"):
        object_stores.send(tmp_path / "a", uri)
    assert (bucket / "sent").read_bytes() == (tmp_path / "sent").read_bytes() == content


def test_an_unknown_store_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match=r"^nowhere://a\.csv: cannot be written: nowhere://"):
        object_stores.send(tmp_path / "a", "nowhere://a.csv")


class PartialProxy(BaseHTTPRequestHandler):
    """Forwards requests to the store, and refuses the second part of every upload."""

    protocol_version = "HTTP/1.1"
    port = 0

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "partNumber=2" in self.path:
            self.answer(403, [], b"")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        self.answer(answer.status, answer.getheaders(), answer.read())
        connection.close()

    do_POST = do_GET = do_HEAD = do_DELETE = do_PUT  # noqa: N815

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_an_upload_that_fails_midway_leaves_no_object(
    object_store, bucket: Path, tmp_path: Path
) -> None:
    handler = type("Handler", (PartialProxy,), {"port": object_store.port})
    (tmp_path / "a").write_bytes(os.urandom(30_000_000))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = object_store.uri("cut.csv", port=server.server_address[1])
        # Uploads without a second part pass.
        (tmp_path / "b").write_bytes(b"small")
        object_stores.send(tmp_path / "b", uri.replace("cut", "small"))
        with pytest.raises(
            OutputError, match=r"^s3://bucket/cut\.csv: cannot be written: .*403|DENIED"
        ):
            object_stores.send(tmp_path / "a", uri)
        server.shutdown()
    assert (bucket / "small.csv").read_bytes() == b"small"
    assert not (bucket / "cut.csv").exists()


def test_a_store_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(object_stores, "_ANSWER_SECONDS", 1)
    with socket.socket() as taken:  # bound, but not listening: nothing can connect
        taken.bind(("127.0.0.1", 0))
        options = f"scheme=http&endpoint_override=127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CorpusError, match="no answer in 1 seconds: check the network"):
            open_records(f"gs://anonymous@bucket/a.csv?{options}")
