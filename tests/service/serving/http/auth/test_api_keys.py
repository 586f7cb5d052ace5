"""Who is known by which key, and what becomes of them while the file changes."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from gatewise.service.serving.http.auth import api_keys, key_writing
from gatewise.service.serving.http.auth.api_keys import ApiKeys
from gatewise.service.serving.http.auth.key_file import KeyEntry, KeysError, Role, make_key


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


Write = Callable[[Sequence[KeyEntry]], None]


@pytest.fixture
def write(path: Path) -> Write:
    def write_entries(entries: Sequence[KeyEntry]) -> None:
        path.write_text("".join(f"{entry.line()}\n" for entry in entries))

    return write_entries


PREDICT, PREDICTS = make_key("web", Role.PREDICT)
ADMIN, ADMINS = make_key("operator", Role.ADMIN)


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]


def x_api_key(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), (b"x-api-key", key.encode())]


@pytest.mark.parametrize("header", [bearer, x_api_key])
def test_a_key_is_known_by_either_header(
    path: Path, write: Write, header: Callable[[str], list[tuple[bytes, bytes]]]
) -> None:
    write([PREDICTS, ADMINS])
    known = ApiKeys(path)
    assert known.are_asked_for
    assert known.role(header(PREDICT)) is Role.PREDICT
    assert known.role(header(ADMIN)) is Role.ADMIN
    for wrong in (PREDICT[:-1], PREDICT + "x", PREDICT.upper(), PREDICTS.sha256, "", "x" * 9999):
        assert known.role(header(wrong)) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", PREDICT.encode())],
        [(b"authorization", b"Basic " + PREDICT.encode())],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer \xff\xfe")],
        [(b"cookie", b"key=" + PREDICT.encode())],
        [(b"x-api-key", b"Bearer " + PREDICT.encode())],
    ],
)
def test_no_key_that_could_be_known(
    path: Path, write: Write, headers: list[tuple[bytes, bytes]]
) -> None:
    write([PREDICTS])
    assert ApiKeys(path).role(headers) is None


@pytest.mark.parametrize(
    "value", [f"bearer {PREDICT}", f"BEARER   {PREDICT} "], ids=["small", "large"]
)
def test_the_scheme_is_known_in_any_letters(path: Path, write: Write, value: str) -> None:
    write([PREDICTS])
    assert ApiKeys(path).role([(b"authorization", value.encode())]) is Role.PREDICT


def test_of_two_keys_the_one_that_may_do_more_counts(path: Path, write: Write) -> None:
    write([PREDICTS, ADMINS])
    known = ApiKeys(path)
    assert known.role(bearer(PREDICT) + x_api_key(ADMIN)) is Role.ADMIN
    assert known.role(bearer(ADMIN) + x_api_key(PREDICT)) is Role.ADMIN
    assert known.role(bearer("hf_of_another_service") + x_api_key(PREDICT)) is Role.PREDICT


def test_of_many_headers_the_first_of_each_is_looked_at(path: Path, write: Write) -> None:
    write([PREDICTS])
    assert ApiKeys(path).role(x_api_key("wrong") + x_api_key(PREDICT)) is None


def test_every_key_is_compared_whichever_fits(
    path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write([PREDICTS, ADMINS, *(make_key(f"k{number}", Role.PREDICT)[1] for number in range(8))])
    known = ApiKeys(path)
    compared = []
    real = api_keys.hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(api_keys.hmac, "compare_digest", counting)
    for key in (PREDICT, ADMIN, "wrong"):
        compared.clear()
        known.role(bearer(key))
        assert len(compared) == 10


def test_without_a_file_everyone_may_predict_and_nobody_is_admin() -> None:
    known = ApiKeys(None)
    assert not known.are_asked_for
    assert known.role([]) is known.role(bearer("anything")) is Role.PREDICT


def test_a_service_does_not_start_without_the_keys_that_it_shall_have(path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read: No such file"):
        ApiKeys(path)
    path.write_text("")
    with pytest.raises(KeysError, match="there is no key in it"):
        ApiKeys(path)


class TestExpiry:
    @pytest.mark.parametrize(("days", "taken"), [(-1, False), (0, True), (1, True)])
    def test_a_key_is_taken_to_the_end_of_its_last_day(
        self, path: Path, write: Write, days: int, taken: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        last = date(2030, 6, 15)
        key, entry = make_key("guest", Role.PREDICT, last)
        write([entry])
        known = ApiKeys(path)
        for of_day in (timedelta(0), timedelta(hours=23, minutes=59, seconds=59)):
            asked = datetime(2030, 6, 15, tzinfo=UTC) - timedelta(days=days) + of_day
            monkeypatch.setattr(time, "time", asked.timestamp)
            assert (known.role(bearer(key)) is Role.PREDICT) == taken

    def test_the_last_day_there_is(self, path: Path, write: Write) -> None:
        key, entry = make_key("guest", Role.PREDICT, date.max)
        write([entry])
        assert ApiKeys(path).role(bearer(key)) is Role.PREDICT


class TestRotation:
    def test_keys_come_and_go_within_a_second(self, path: Path, write: Write, clock: Clock) -> None:
        write([PREDICTS])
        known = ApiKeys(path, clock)
        write([ADMINS])
        clock.now += 0.9
        assert known.role(bearer(PREDICT)) is Role.PREDICT  # not looked at yet
        clock.now += 0.2
        assert known.role(bearer(PREDICT)) is None
        assert known.role(bearer(ADMIN)) is Role.ADMIN

    def test_the_file_is_read_at_most_once_a_second(
        self, path: Path, write: Write, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write([PREDICTS])
        known = ApiKeys(path, clock)
        looks: list[Path] = []

        def looking(path: Path) -> bytes:
            looks.append(path)
            return path.read_bytes()

        monkeypatch.setattr(api_keys, "read", looking)
        for _ in range(50):
            clock.now += 0.25
            known.role([])
        assert len(looks) == 12

    def test_a_change_that_leaves_size_and_time_is_seen(
        self, path: Path, write: Write, clock: Clock
    ) -> None:
        write([PREDICTS])
        known = ApiKeys(path, clock)
        key, entry = make_key("web", Role.PREDICT)
        before = path.stat()
        write([entry])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        clock.now += 1
        assert known.role(bearer(key)) is Role.PREDICT
        assert known.role(bearer(PREDICT)) is None

    @pytest.mark.parametrize("broken", ["", "{", '{"name": "web"}', None])
    def test_a_file_that_cannot_be_used_leaves_the_keys_and_is_told_once(
        self,
        path: Path,
        write: Write,
        clock: Clock,
        broken: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        write([PREDICTS])
        known = ApiKeys(path, clock)
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken)
        for _ in range(3):
            clock.now += 1
            assert known.role(bearer(PREDICT)) is Role.PREDICT
            assert known.role(bearer(ADMIN)) is None
        (complaint,) = caplog.records
        assert complaint.levelno == logging.ERROR
        assert complaint.getMessage().startswith(f"the API keys stay as they were: {path}")
        write([ADMINS])
        clock.now += 1
        assert known.role(bearer(ADMIN)) is Role.ADMIN
        assert known.role(bearer(PREDICT)) is None

    def test_no_key_and_no_hash_is_ever_logged(
        self, path: Path, write: Write, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        write([PREDICTS])
        known = ApiKeys(path, clock)
        for content in (f"{ADMINS.line()}\n", ADMIN, f"{ADMINS.line()}\n{ADMIN}\n", PREDICT):
            path.write_text(content)
            clock.now += 1
            known.role(bearer(PREDICT) + x_api_key(ADMIN))
        assert "1 API keys taken from" in caplog.text
        for secret in (PREDICT, ADMIN, PREDICTS.sha256, ADMINS.sha256):
            assert secret not in caplog.text


def test_a_key_that_the_file_got_by_add_is_taken(path: Path, clock: Clock) -> None:
    key_writing.add(path, PREDICTS)
    known = ApiKeys(path, clock)
    key_writing.add(path, ADMINS)
    clock.now += 1
    assert (known.role(bearer(PREDICT)), known.role(bearer(ADMIN))) == (Role.PREDICT, Role.ADMIN)
