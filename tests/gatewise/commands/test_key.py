"""`gatewise key`: the key on standard output, its hash in the file, nothing else anywhere."""

import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest
from gatewise.service.serving.http.auth.api_keys import ApiKeys


def key(*arguments, **variables):
    command = [sys.executable, "-m", "gatewise", "key", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if "GATEWISE" not in name}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**environment, **variables}
    )


def test_a_key_is_printed_once_and_its_hash_is_kept(tmp_path):
    file = tmp_path / "keys.jsonl"
    ended = key("web", "--role", "predict", "--file", file, "--expires", "2030-12-31")
    assert ended.returncode == 0, ended.stderr
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


def test_a_second_key_is_added_to_the_file_of_the_variable(tmp_path):
    file = tmp_path / "keys.jsonl"
    made = [
        key(name, "--role", role, GATEWISE_API_KEYS_FILE=str(file)).stdout.strip()
        for name, role in (("web", "predict"), ("operator", "admin"))
    ]
    known = ApiKeys(file)
    roles = [known.role([(b"x-api-key", one.encode())]) for one in made]
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
def test_wrong_usage(arguments, tmp_path):
    ended = key(*[tmp_path / each if each == "keys" else each for each in arguments])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [("nonsense\n", "keys, line 1: expected a JSON object"), (None, "folder")],
)
def test_a_file_that_cannot_be_added_to(content, reason, tmp_path):
    file = tmp_path / "keys"
    if content is None:
        file = file / "keys"
    else:
        file.write_text(content)
    ended = key("web", "--role", "admin", "--file", file)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert reason in line
    assert content is None or file.read_text() == content
