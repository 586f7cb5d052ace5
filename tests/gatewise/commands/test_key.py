"""`gatewise key`: the key on standard output, its hash in the file, nothing else anywhere."""

import functools
import hashlib
import json
import os
import stat

import pytest

from gatewise.service.serving.http.auth.api_keys import ApiKeys


@pytest.fixture
def key(gatewise, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GATEWISE_")]:
        monkeypatch.delenv(name)
    return functools.partial(gatewise, "key")


def test_a_key_is_printed_once_and_its_hash_is_kept(key, tmp_path):
    file = tmp_path / "keys.jsonl"
    ended = key("web", "--role", "predict", "--file", file, "--expires", "2030-12-31")
    assert ended.code == 0, ended.stderr
    (made,) = ended.stdout.splitlines()
    assert made not in ended.stderr
    assert ended.stderr.count("\n") == 1
    (line,) = file.read_text().splitlines()
    assert json.loads(line) == {
        "name": "web",
        "role": "predict",
        "sha256": hashlib.sha256(made.encode()).hexdigest(),
        "expires": "2030-12-31",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_second_key_is_added_to_the_file_of_the_variable(key, tmp_path, monkeypatch):
    file = tmp_path / "keys.jsonl"
    monkeypatch.setenv("GATEWISE_API_KEYS_FILE", str(file))
    made = [
        key(name, "--role", role).stdout.strip()
        for name, role in (("web", "predict"), ("operator", "admin"))
    ]
    known = ApiKeys(file)
    roles = [known.sender([(b"x-api-key", one.encode())]).role for one in made]
    assert roles == ["predict", "admin"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["web", "--file", "keys"],
        ["web", "--role", "root", "--file", "keys"],
        ["web", "--role", "admin"],
        ["--role", "admin", "--file", "keys"],
        ["web", "--role", "admin", "--file", "keys", "--expires", "tomorrow"],
    ],
)
def test_wrong_usage(key, arguments, tmp_path):
    ended = key(*[tmp_path / each if each == "keys" else each for each in arguments])
    assert (ended.code, ended.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [("nonsense\n", "keys, line 1: expected a JSON object"), (None, "folder")],
)
def test_a_file_that_cannot_be_added_to(key, content, reason, tmp_path):
    file = tmp_path / "keys"
    if content is None:
        file = file / "keys"
    else:
        file.write_text(content)
    ended = key("web", "--role", "admin", "--file", file)
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert reason in line
    assert content is None or file.read_text() == content
