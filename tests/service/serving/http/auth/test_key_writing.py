"""A key gets into the file: whole or not at all, readable for its owner alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gatewise.service.serving.http.auth import key_file, key_writing
from gatewise.service.serving.http.auth.key_file import KeyEntry, KeysError, Role, make_key
from gatewise.vocab.errors import OutputError

GOOD = KeyEntry(name="web", role=Role.PREDICT, sha256="0" * 64).line()


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    former = os.umask(0)
    try:
        key_writing.add(path, make_key("web", Role.PREDICT)[1])
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(f"\n  {GOOD}")  # without an end of line
    path.chmod(0o640)
    _, entry = make_key("mobile", Role.ADMIN)
    key_writing.add(path, entry)
    assert path.read_text() == f"\n  {GOOD}\n{entry.line()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "keys.jsonl", tmp_path / "link"
    path.write_text(GOOD)
    link.symlink_to(path)
    key_writing.add(link, make_key("mobile", Role.PREDICT)[1])
    assert link.is_symlink()
    assert len(key_file.parse(path.read_bytes(), path)) == 2


def test_a_broken_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(f"{GOOD}\nbroken")
    with pytest.raises(KeysError, match="line 2: expected a JSON object"):
        key_writing.add(path, make_key("web", Role.PREDICT)[1])
    assert path.read_text() == f"{GOOD}\nbroken"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_file_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(f"{GOOD}\n" * 1000)
    with pytest.raises(KeysError, match="at most 1000 keys, received 1001"):
        key_writing.add(path, make_key("web", Role.PREDICT)[1])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        key_writing.add(tmp_path / "no" / "keys", make_key("web", Role.PREDICT)[1])


def test_of_many_that_are_added_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    entries = [make_key(f"k{number}", Role.PREDICT)[1] for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: key_writing.add(path, entry), entries))
    added = key_file.parse(path.read_bytes(), path)
    assert sorted(entry.name for entry in added) == sorted(entry.name for entry in entries)
