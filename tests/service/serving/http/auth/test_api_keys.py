"""API keys: making keys, the file of keys, the role of a request, and keys that change."""

import hashlib
import logging
import math
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gatewise.service.serving.http.auth import api_keys
from gatewise.service.serving.http.auth.api_keys import (
    ApiKeys,
    KeyEntry,
    KeysError,
    Role,
    add,
    make_key,
    parse,
)
from gatewise.vocab.errors import OutputError

PREDICT, PREDICTS = make_key("web", Role.PREDICT)
ADMIN, ADMINS = make_key("operator", Role.ADMIN)
GOOD = KeyEntry(name="web", role=Role.PREDICT, sha256="0" * 64).line()


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.jsonl"


@pytest.fixture
def write(path):
    return lambda *entries: path.write_text("".join(f"{entry.line()}\n" for entry in entries))


def bearer(key):
    return [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]


def x_api_key(key):
    return [(b"host", b"localhost"), (b"x-api-key", key.encode())]


def role_of(keys, headers):
    sender = keys.sender(headers)
    return sender and sender.role


class TestMaking:
    def test_a_key_is_long_and_unique_and_only_its_hash_is_kept(self):
        made = [make_key("web", Role.ADMIN, date(2030, 1, 31)) for _ in range(100)]
        assert len({key for key, _ in made}) == 100
        for key, entry in made:
            assert key.startswith("gw_")
            assert len(key) == len("gw_") + 43
            assert entry.sha256 == hashlib.sha256(key.encode()).hexdigest()
            assert key not in entry.line()
            assert parse(entry.line().encode(), Path("keys")) == [entry]

    @pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", 'a"b'])
    def test_a_name_that_could_garble_a_log_is_refused(self, name):
        with pytest.raises(KeysError, match="expected a name of 1 to 64 letters"):
            make_key(name, Role.PREDICT)

    @pytest.mark.parametrize("rate", [0, 2e6, math.inf, math.nan])
    def test_a_rate_that_is_none(self, rate):
        with pytest.raises(KeysError, match="expected requests a second above 0"):
            make_key("web", Role.PREDICT, requests_per_second=rate)

    @pytest.mark.parametrize("name", ["Büro 7", "a/b:c+d-e_f.@"])
    def test_a_name_may_have_letters_of_any_language(self, name):
        assert make_key(name, Role.PREDICT)[1].name == name


class TestFile:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("[]", ", line 2: expected a JSON object"),
            ("{}", ", line 2, name: it is missing"),
            ('"gw_secret"', ", line 2: expected a JSON object"),
            ("\xff\xfe", ", line 2"),
            (GOOD.replace("predict", "root"), ", line 2, role: expected predict or admin"),
            (GOOD.replace("0000", "00G0"), ", line 2, sha256: not as gatewise key writes it"),
            (GOOD.replace("}", ', "expires": "soon"}'), ", line 2, expires: not as"),
            (GOOD.replace("}", ', "key": "gw_secret"}'), ", line 2: expected no other member"),
            (f"{GOOD}\n" * 999, ": expected at most 1000 keys, received 1001"),
        ],
    )
    def test_an_invalid_file_is_left_alone_and_not_quoted(self, path, line, reason):
        path.write_text(f"{GOOD}\n{line}\n", encoding="latin-1")
        before = path.read_bytes()
        with pytest.raises(KeysError) as error:
            add(path, PREDICTS)
        assert str(error.value).startswith(f"{path}{reason}")
        assert "secret" not in str(error.value)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "cannot be read: No such file"),
            (b"\n \n", "there is no key in it: make one with gatewise key"),
            (b"\n" * (1024 * 1024 + 1), "at most 1,048,576 bytes"),
        ],
    )
    def test_a_service_does_not_start_without_its_file_of_keys(self, path, content, reason):
        if content:
            path.write_bytes(content)
        with pytest.raises(KeysError, match=reason):
            ApiKeys(path)

    def test_a_new_file_is_readable_for_its_owner_only(self, path):
        former = os.umask(0)
        try:
            add(path, PREDICTS)
        finally:
            os.umask(former)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_an_existing_file_keeps_its_lines_and_its_mode_and_a_link_stays_a_link(
        self, path, tmp_path
    ):
        path.write_text(f"\n  {GOOD}")  # without a line end
        path.chmod(0o640)
        link = tmp_path / "link"
        link.symlink_to(path)
        add(link, ADMINS)
        assert link.is_symlink()
        assert path.read_text() == f"\n  {GOOD}\n{ADMINS.line()}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(OutputError, match="there is no folder"):
            add(tmp_path / "no" / "keys", PREDICTS)

    def test_concurrent_additions_lose_nothing(self, path):
        entries = [make_key(f"k{number}", Role.PREDICT)[1] for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda entry: add(path, entry), entries))
        added = parse(path.read_bytes(), path)
        assert sorted(entry.name for entry in added) == sorted(entry.name for entry in entries)


class TestRoles:
    def test_either_header_may_hold_the_key(self, path, write):
        write(PREDICTS, ADMINS)
        keys = ApiKeys(path)
        assert keys.are_required
        for header in (bearer, x_api_key):
            assert role_of(keys, header(PREDICT)) is Role.PREDICT
            assert role_of(keys, header(ADMIN)) is Role.ADMIN
            wrong = (PREDICT[:-1], PREDICT + "x", PREDICT.upper(), PREDICTS.sha256, "", "x" * 9999)
            assert {role_of(keys, header(key)) for key in wrong} == {None}

    @pytest.mark.parametrize(
        ("headers", "role"),
        [
            ([], None),
            ([(b"authorization", PREDICT.encode())], None),
            ([(b"authorization", b"Basic " + PREDICT.encode())], None),
            ([(b"authorization", b"Bearer ")], None),
            ([(b"authorization", b"Bearer \xff\xfe")], None),
            ([(b"cookie", b"key=" + PREDICT.encode())], None),
            ([(b"x-api-key", b"Bearer " + PREDICT.encode())], None),
            # The scheme is not case-sensitive, and only the first header of a name counts.
            ([(b"authorization", f"BEARER   {PREDICT} ".encode())], Role.PREDICT),
            (x_api_key("wrong") + x_api_key(PREDICT), None),
            # The higher role of two keys counts.
            (bearer(PREDICT) + x_api_key(ADMIN), Role.ADMIN),
            (bearer(ADMIN) + x_api_key(PREDICT), Role.ADMIN),
            (bearer("hf_of_another_service") + x_api_key(PREDICT), Role.PREDICT),
        ],
    )
    def test_the_role_of_other_headers(self, path, write, headers, role):
        write(PREDICTS, ADMINS)
        assert role_of(ApiKeys(path), headers) is role

    def test_every_key_is_compared_even_after_a_match(self, path, write, monkeypatch):
        write(PREDICTS, ADMINS, *(make_key(f"k{number}", Role.PREDICT)[1] for number in range(8)))
        keys = ApiKeys(path)
        compared = []
        real = api_keys.hmac.compare_digest

        def counting(first, second):
            compared.append(second)
            return real(first, second)

        monkeypatch.setattr(api_keys.hmac, "compare_digest", counting)
        for key in (PREDICT, ADMIN, "wrong"):
            compared.clear()
            role_of(keys, bearer(key))
            assert len(compared) == 10

    def test_without_a_file_everyone_may_predict_and_nobody_is_admin(self):
        keys = ApiKeys(None)
        assert not keys.are_required
        assert role_of(keys, []) is role_of(keys, bearer("anything")) is Role.PREDICT

    def test_a_key_is_valid_until_the_end_of_its_last_day(self, path, write, monkeypatch):
        key, entry = make_key("guest", Role.PREDICT, date(2030, 6, 15))
        forever, other = make_key("guest", Role.PREDICT, date.max)
        write(entry, other)
        keys = ApiKeys(path)
        assert role_of(keys, bearer(forever)) is Role.PREDICT
        for day, valid in ((14, True), (15, True), (16, False)):
            for time_of_day in (timedelta(0), timedelta(hours=23, minutes=59, seconds=59)):
                now = datetime(2030, 6, day, tzinfo=UTC) + time_of_day
                monkeypatch.setattr(time, "time", now.timestamp)
                assert (role_of(keys, bearer(key)) is Role.PREDICT) == valid


class TestRotation:
    def test_the_file_is_read_again_after_a_second_and_not_before(self, path, clock, monkeypatch):
        add(path, PREDICTS)
        keys = ApiKeys(path, clock)
        add(path, ADMINS)
        clock.now += 0.9
        assert role_of(keys, bearer(ADMIN)) is None
        clock.now += 0.2
        assert role_of(keys, bearer(ADMIN)) is Role.ADMIN
        reads = []
        monkeypatch.setattr(api_keys, "read", lambda path: reads.append(path) or b"")
        for _ in range(50):
            clock.now += 0.25
            role_of(keys, [])
        assert len(reads) == 12

    def test_a_change_that_keeps_size_and_time_is_seen(self, path, write, clock):
        write(PREDICTS)
        keys = ApiKeys(path, clock)
        key, entry = make_key("web", Role.PREDICT)
        before = path.stat()
        write(entry)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        clock.now += 1
        assert role_of(keys, bearer(key)) is Role.PREDICT
        assert role_of(keys, bearer(PREDICT)) is None

    @pytest.mark.parametrize("broken", ["", '{"name": "web"}', None])
    def test_a_broken_file_keeps_the_keys_and_is_logged_once(
        self, path, write, clock, broken, caplog
    ):
        write(PREDICTS)
        keys = ApiKeys(path, clock)
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken)
        for _ in range(3):
            clock.now += 1
            assert role_of(keys, bearer(PREDICT)) is Role.PREDICT
            assert role_of(keys, bearer(ADMIN)) is None
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage().startswith(f"the API keys stay as they were: {path}")
        write(ADMINS)
        clock.now += 1
        assert role_of(keys, bearer(ADMIN)) is Role.ADMIN
        assert role_of(keys, bearer(PREDICT)) is None

    def test_no_key_and_no_hash_is_ever_logged(self, path, write, clock, caplog):
        caplog.set_level(logging.DEBUG)
        write(PREDICTS)
        keys = ApiKeys(path, clock)
        for content in (f"{ADMINS.line()}\n", ADMIN, f"{ADMINS.line()}\n{ADMIN}\n", PREDICT):
            path.write_text(content)
            clock.now += 1
            role_of(keys, bearer(PREDICT) + x_api_key(ADMIN))
        assert "1 API keys taken from" in caplog.text
        for secret in (PREDICT, ADMIN, PREDICTS.sha256, ADMINS.sha256):
            assert secret not in caplog.text
