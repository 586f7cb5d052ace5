"""API keys: what the sender of a request may do, told from its headers.

The file of keys is read again while the service runs, at most once a second, so that keys come and
go without a restart. A file that cannot be used changes nothing: the keys of the last good one
stay. Knows no route, and not how a key is written down
(`gatewise.service.serving.http.auth.key_file`).
"""

import hmac
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gatewise.service.serving.http.auth.key_file import (
    KeyEntry,
    KeysError,
    Role,
    hash_of,
    parse,
    read,
)

_log = logging.getLogger(__name__)

_LONGEST_KEY = 256
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as requests are held against it: its hash, its role, the time from which it is over."""

    digest: bytes
    role: Role
    over: float


class ApiKeys:
    """The keys of a service, looked after while it runs.

    Args:
        path: The file of keys. Without one nobody is asked for a key, and what needs the role
            admin is closed to all.
        clock: Seconds by which it is told when to look at the file again.

    Raises:
        KeysError: If the file cannot be used: a service that shall be closed does not start open.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._content = b"" if path is None else read(path)
        self._known = () if path is None else _known(parse(self._content, path))
        self._complaint = ""
        self._next_look = clock() + _SECONDS_BETWEEN_LOOKS

    @property
    def are_asked_for(self) -> bool:
        """Whether requests need a key at all."""
        return self._path is not None

    def role(self, headers: Iterable[tuple[bytes, bytes]]) -> Role | None:
        """What the sender of a request may do; None without a key that is taken.

        Every key is compared, in constant time, whether one has fitted or not.

        Args:
            headers: The request's, as ASGI has them: names in lower case.
        """
        if self._path is None:
            return Role.PREDICT
        if self._clock() >= self._next_look:
            self._look(self._path)
        found = None
        for key in _presented(headers):
            digest, now = hash_of(key), time.time()
            for known in self._known:
                fits = hmac.compare_digest(digest, known.digest)
                if fits and now < known.over and found is not Role.ADMIN:
                    found = known.role
        return found

    def _look(self, path: Path) -> None:
        """Takes the file's keys if its bytes are others; complains once of a file without use."""
        self._next_look = self._clock() + _SECONDS_BETWEEN_LOOKS
        try:
            # The bytes and not the time of the last change, which may be that of two contents.
            content = read(path)
            if content == self._content:
                self._complaint = ""
                return
            known = _known(parse(content, path))
        except KeysError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("the API keys stay as they were: %s", error)
            return
        self._content, self._known, self._complaint = content, known, ""
        _log.info("%d API keys taken from %s", len(known), path)


def _known(entries: Iterable[KeyEntry]) -> tuple[_Known, ...]:
    return tuple(
        _Known(bytes.fromhex(entry.sha256), entry.role, _over(entry.expires)) for entry in entries
    )


def _over(expires: date | None) -> float:
    if expires is None or expires == date.max:
        return float("inf")
    day_after = expires + timedelta(days=1)
    return datetime(day_after.year, day_after.month, day_after.day, tzinfo=UTC).timestamp()


def _presented(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    """The keys that a request shows: at most one of each of the two headers."""
    bearer = own = None
    for name, value in headers:
        if name == b"authorization" and bearer is None and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
        elif name == b"x-api-key" and own is None:
            own = value.strip()
    return [key for key in (bearer, own) if key and len(key) <= _LONGEST_KEY]
