"""API keys: the file of keys, making and adding a key, and the sender of a request.

The file has one JSON object a line: the key's name, its role, its SHA-256, and, if there are, the
last day (UTC) on which it is valid and its requests a second. A fast hash is right here: slow
hashes, as for passwords, make guessing expensive, but nobody guesses 256 random bits, and every
request would pay for it.

The service reads the file again while it runs, at most once a second, so that keys change without a
restart. A file that cannot be used changes nothing: the last good keys stay.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gatewise.vocab.atomic_files import atomic_write, translate_write_errors
from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)

PREFIX = "gw_"
"""The first characters of every key, by which secret scanners can recognise it."""

_RANDOM_BYTES = 32
_MAX_KEYS = 1_000
_MAX_FILE_BYTES = 1024 * 1024
_MAX_KEY_BYTES = 256
_REREAD_SECONDS = 1.0


class KeysError(GatewiseError):
    """The file of keys cannot be used; the message says where and why."""


class Role(StrEnum):
    """What a key allows."""

    PREDICT = "predict"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether this role includes another: an admin may do everything.

        >>> Role.ADMIN.allows(Role.PREDICT), Role.PREDICT.allows(Role.ADMIN)
        (True, False)
        """
        return self in (needed, Role.ADMIN)


class KeyEntry(BaseModel):
    """A line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w .@:/+-]+$")]
    role: Role
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    expires: date | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None

    def line(self) -> str:
        """Returns the entry as a line of the file."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False)


def make_key(
    name: str,
    role: Role,
    expires: date | None = None,
    requests_per_second: float | None = None,
) -> tuple[str, KeyEntry]:
    """Makes a key.

    Returns:
        The key, which is not kept anywhere, and its entry in the file.

    Raises:
        KeysError: If the name is too long, or has characters that could garble a log; or if the
            rate is no number that a key may have.
    """
    key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    digest = _sha256(key.encode()).hex()
    try:
        return key, KeyEntry(
            name=name,
            role=role,
            sha256=digest,
            expires=expires,
            requests_per_second=requests_per_second,
        )
    except ValidationError as error:
        if any(each["loc"][:1] == ("requests_per_second",) for each in error.errors()):
            raise KeysError(
                "expected requests a second above 0 and at most 1,000,000, received "
                f"{requests_per_second}"
            ) from None
        raise KeysError(
            "expected a name of 1 to 64 letters, digits, blanks and . @ : / + - _, received "
            f"{name[:80]!r}"
        ) from None


def parse(content: bytes, path: Path) -> list[KeyEntry]:
    """Parses a file of keys; blank lines are skipped."""
    entries = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entries.append(KeyEntry.model_validate_json(line))
        except ValidationError as error:
            # The line is not quoted: it may hold a key by mistake.
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = "".join(f", {step}" for step in first["loc"] if step in KeyEntry.model_fields)
            raise KeysError(f"{path}, line {number}{place}: {_reason(first['type'])}") from None
    if not entries:
        raise KeysError(f"{path}: there is no key in it: make one with gatewise key")
    if len(entries) > _MAX_KEYS:
        raise KeysError(f"{path}: expected at most {_MAX_KEYS} keys, received {len(entries)}")
    return entries


def read(path: Path) -> bytes:
    """Returns the bytes of a file of keys."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise KeysError(f"{path}: expected at most {_MAX_FILE_BYTES:,} bytes of keys")
    return content


def add(path: Path, entry: KeyEntry) -> None:
    """Adds an entry to a file of keys, which is created if it does not exist.

    A new file gets the mode 0600; an existing one keeps its mode and, if the system allows it, its
    owner, so that the service can still read it.

    Raises:
        KeysError: If the existing file cannot be used.
        OutputError: If the file cannot be written.
    """
    path = path.resolve()  # writes to the target of a link
    with translate_write_errors(path), _locked(path.parent):
        content, former = b"", None
        if path.exists():
            content, former = read(path), path.stat()
            if content and not content.endswith(b"\n"):
                content += b"\n"
        content += entry.line().encode() + b"\n"
        parse(content, path)
        with atomic_write(path) as temporary:
            # Created without rights for others: a later chmod would leave a moment with them.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
            if former:
                with suppress(PermissionError, AttributeError):  # AttributeError: on Windows
                    os.chown(temporary, former.st_uid, former.st_gid)
                temporary.chmod(stat.S_IMODE(former.st_mode))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time change a file of a folder.

    The folder itself is locked, so that no lock file stays behind; Windows cannot open one.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    # Reading keys, which every start of the service does, needs no lock.
    from filelock import lock_descriptor  # noqa: PLC0415

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(descriptor, poll_interval=0.01)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a request."""

    name: str  # of the key; empty if the service requires none
    role: Role
    requests_per_second: float | None = None  # of the key; None for the setting


_ANYONE = Sender("", Role.PREDICT)


@dataclass(frozen=True, slots=True)
class _ActiveKey:
    """A key as requests are compared with it."""

    digest: bytes
    sender: Sender
    expires_at: float  # seconds since the epoch


class ApiKeys:
    """The keys of a running service.

    Raises:
        KeysError: If the file cannot be used: the service must not start unprotected.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._content = b"" if path is None else read(path)
        self._active = () if path is None else _active_keys(parse(self._content, path))
        self._logged_error = ""
        self._next_read = clock() + _REREAD_SECONDS

    @property
    def are_required(self) -> bool:
        """Whether requests need a key."""
        return self._path is not None

    def sender(self, headers: Iterable[tuple[bytes, bytes]]) -> Sender | None:
        """Returns the sender of a request, or None without a valid key.

        Every key is compared in constant time, even after a match.
        """
        if self._path is None:
            return _ANYONE
        if self._clock() >= self._next_read:
            self._reread(self._path)
        sender = None
        for key in _keys_in(headers):
            digest, now = _sha256(key), time.time()
            for active in self._active:
                matches = hmac.compare_digest(digest, active.digest)
                is_better = sender is None or sender.role is not Role.ADMIN
                if matches and now < active.expires_at and is_better:
                    sender = active.sender
        return sender

    def _reread(self, path: Path) -> None:
        """Takes the keys of a file that has changed; logs once that a file cannot be used."""
        self._next_read = self._clock() + _REREAD_SECONDS
        try:
            # Compares the bytes: two contents may have the same modification time.
            content = read(path)
            if content == self._content:
                self._logged_error = ""
                return
            active = _active_keys(parse(content, path))
        except KeysError as error:
            if str(error) != self._logged_error:
                self._logged_error = str(error)
                _log.error("the API keys stay as they were: %s", error)
            return
        self._content, self._active, self._logged_error = content, active, ""
        _log.info("%d API keys taken from %s", len(active), path)


def _sha256(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _reason(kind: str) -> str:
    """Returns the reason why a line is invalid, by the kind of pydantic's first error."""
    reasons = {
        "json_invalid": "expected a JSON object",
        "model_type": "expected a JSON object",
        "missing": "it is missing",
        "extra_forbidden": "expected no other member than " + ", ".join(KeyEntry.model_fields),
        "enum": "expected " + " or ".join(Role),
    }
    return reasons.get(kind, "not as gatewise key writes it")


def _active_keys(entries: Iterable[KeyEntry]) -> tuple[_ActiveKey, ...]:
    return tuple(
        _ActiveKey(
            bytes.fromhex(entry.sha256),
            Sender(entry.name, entry.role, entry.requests_per_second),
            _end_of(entry.expires),
        )
        for entry in entries
    )


def _end_of(last_day: date | None) -> float:
    """Returns the end of a key's last day in UTC, in seconds since the epoch."""
    if last_day is None or last_day == date.max:
        return float("inf")
    day_after = last_day + timedelta(days=1)
    return datetime(day_after.year, day_after.month, day_after.day, tzinfo=UTC).timestamp()


def _keys_in(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    """Returns the keys of a request: at most one of each of the two headers."""
    bearer = own = None
    for name, value in headers:
        if name == b"authorization" and bearer is None and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
        elif name == b"x-api-key" and own is None:
            own = value.strip()
    return [key for key in (bearer, own) if key and len(key) <= _MAX_KEY_BYTES]
