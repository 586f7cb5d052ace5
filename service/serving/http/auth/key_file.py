"""The file of API keys: what stands in it, how a key is made, how the file is read.

It has one JSON object a line: the key's name, its role, the SHA-256 of the key, and the last day
(UTC) on which it is taken, if it has one. A fast hash is the right one here. Slow ones, as for
passwords, make guessing dear; these keys are 256 random bits, which nobody guesses, and a slow hash
would be paid for with every request. Knows no request.
"""

import hashlib
import json
import secrets
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from gatewise.vocab.errors import GatewiseError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREFIX = "gw_"
"""What every key begins with, by which scanners for lost secrets can know one."""

_RANDOM_BYTES = 32
_MOST_KEYS = 1_000
_MOST_BYTES = 1024 * 1024


class KeysError(GatewiseError):
    """A file of keys that cannot be used; the message says where and why."""


class Role(StrEnum):
    """What a key allows."""

    PREDICT = "predict"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether this role may do what needs another: an admin may do everything.

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

    def line(self) -> str:
        """The entry as a line of the file."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False)


def hash_of(key: bytes) -> bytes:
    """What is kept of a key, 32 bytes."""
    return hashlib.sha256(key).digest()


def make_key(name: str, role: Role, expires: date | None = None) -> tuple[str, KeyEntry]:
    """Makes a key: the key itself, which is kept nowhere, and what the file says of it.

    Raises:
        KeysError: If the name is too long, or holds what would not look well in a log.
    """
    key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    digest = hash_of(key.encode()).hex()
    try:
        return key, KeyEntry(name=name, role=role, sha256=digest, expires=expires)
    except ValidationError:
        raise KeysError(
            "expected a name of 1 to 64 letters, digits, blanks and . @ : / + - _, received "
            f"{name[:80]!r}"
        ) from None


def parse(content: bytes, path: Path) -> list[KeyEntry]:
    """The entries of a file of keys; blank lines count for nothing.

    Args:
        content: Its bytes.
        path: Its name, for messages.

    Raises:
        KeysError: If a line is no entry, or there are none, or too many.
    """
    entries = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entries.append(KeyEntry.model_validate_json(line))
        except ValidationError as error:
            # What stands there is not repeated: it may be a key, by mistake.
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = "".join(f", {step}" for step in first["loc"] if step in KeyEntry.model_fields)
            raise KeysError(f"{path}, line {number}{place}: {_reason(first['type'])}") from None
    if not entries:
        raise KeysError(f"{path}: there is no key in it: make one with gatewise key")
    if len(entries) > _MOST_KEYS:
        raise KeysError(f"{path}: expected at most {_MOST_KEYS} keys, received {len(entries)}")
    return entries


def _reason(kind: str) -> str:
    """What to say of a line, by the kind of pydantic's first complaint."""
    told = {
        "json_invalid": "expected a JSON object",
        "model_type": "expected a JSON object",
        "missing": "it is missing",
        "extra_forbidden": "expected no other member than " + ", ".join(KeyEntry.model_fields),
        "enum": "expected " + " or ".join(Role),
    }
    return told.get(kind, "not as gatewise key writes it")


def read(path: Path) -> bytes:
    """The bytes of a file of keys.

    Raises:
        KeysError: If it cannot be read, or is too large to be one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise KeysError(f"{path}: expected at most {_MOST_BYTES:,} bytes of keys")
    return content
