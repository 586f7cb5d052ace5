"""URIs: distinguished from paths, shown without their secrets."""

import os
from pathlib import Path

import pytest

from gatewise.vocab.corpus.uris import Uri, identity, is_uri, lies_in, plain, redact, redact_message


def test_a_scheme_makes_a_uri():
    assert all(map(is_uri, ["s3://b/k", "file:///a", "HTTPS://x", "a+b://c"]))
    paths = ["a.csv", "./s3://b/k", "s3:/b/k", "C://a", "C:\\a", "-", "", "://", Path("/") / "a"]
    assert not any(map(is_uri, paths))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a?b.csv", "a?b.csv"),
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("s3://bucket/a.csv?region=eu", "s3://bucket/a.csv"),
        ("s3://bucket/a.csv?secret_key=xyz", "s3://bucket/a.csv"),
        ("s3://key:xyz@bucket/a.csv", "s3://***@bucket/a.csv"),
        ("s3://key:x/yz@bucket/a.csv", "s3://***@bucket/a.csv"),
        ("s3://key:x?yz@bucket/a.csv?region=eu", "s3://***@bucket/a.csv"),
        ("s3://key:x@yz@bucket/a.csv", "s3://***@bucket/a.csv"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("abfs://:xyz@account/container/a", "abfs://***@account/container/a"),
        ("hdfs://host:8020/a@b.csv", "hdfs://host:8020/a@b.csv"),
        ("s3://bucket/a:b@c.csv", "s3://bucket/a:b@c.csv"),
    ],
)  # fmt: skip
def test_a_name_is_shown_without_its_secrets(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("text", ["s3://key:x%2Fyz@b/k", "s3://b/k?token=x%2Fyz&region=eu-1"])
def test_messages_of_a_library_are_shown_without_secrets(text):
    said = f"cannot parse '{text}':\n  x/yz and x%2Fyz, not eu-1"
    assert redact_message(said, text) == f"cannot parse '{redact(text)}': *** and ***, not eu-1"
    assert redact_message("a\nb", "a.csv") == "a b"


def test_one_file_has_one_identity(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a b.csv")
    assert len({identity(n) for n in ("a b.csv", "link", f"file://{tmp_path}/a%20b.csv")}) == 1
    assert identity("s3://key:secret@bucket/k?region=eu") == identity("s3://bucket/%6B")
    assert identity("s3://bucket/k?endpoint_override=h:1") != identity("s3://bucket/k")
    assert identity("abfs://one@account/k") != identity("abfs://two@account/k")
    assert identity("a") == f"file://{os.path.realpath('a')}"


def test_another_object_of_a_store_keeps_the_options():
    uri = Uri.of("s3://bucket/a%20b/?region=eu")
    assert (uri.scheme, uri.path, uri.store) == ("s3", "a b", "s3://bucket/?region=eu")
    assert Uri.of(uri.at("50% what?")).path == "50% what?"
    assert uri.at("c").endswith("/c?region=eu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///data/a%20b%23.csv", "/data/a b#.csv"),
        ("file:///data/a b#.csv", "/data/a b#.csv"),
        ("data/a%20b.csv", "data/a%20b.csv"),
        ("s3://bucket/a%20b.csv", "s3://bucket/a%20b.csv"),
        ("file://elsewhere/a.csv", "file://elsewhere/a.csv"),
    ],
)
def test_a_local_file_has_a_path(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("s3://bucket/a/b.csv", "s3://bucket/a/", True),
        ("s3://bucket/a/b/c.csv", "s3://bucket", True),
        ("s3://bucket/ab.csv", "s3://bucket/a", False),
        ("s3://other/a/b.csv", "s3://bucket/a", False),
        ("s3://bucket/a/b.csv?endpoint_override=x", "s3://bucket/a", False),
        ("/a/b/../b/c.csv", "file:///a/b", True),
        ("/a/b.csv", "/a/b.csv", False),
        ("/a/b.csv", "/", True),
    ],
)
def test_what_lies_in_a_folder(text, folder, *, expected):
    assert lies_in(text, folder) == expected
