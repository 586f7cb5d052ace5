"""URIs of files in object stores: parsing, redaction of secrets, comparison.

A URI is read as typed: characters that a URI does not allow are encoded, and `#` belongs to the
path. What follows `?` are options of the store, such as `region` and `endpoint_override`.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Options whose values may be printed; the value of any other may be a secret.
_PUBLIC_OPTIONS = {"region", "scheme", "endpoint_override", "replication", "buffer_size", "user"}


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed URI.

    Attributes:
        base: Scheme and authority, such as `s3://bucket`.
        typed: The path as typed, without slashes at its ends.
        query: The options with their question mark; empty without options.
    """

    base: str
    typed: str
    query: str

    @classmethod
    def of(cls, text: str) -> "Uri":
        """Parse a URI."""
        address, mark, query = text.partition("?")
        scheme, _, rest = address.partition("://")
        authority, _, path = rest.partition("/")
        return cls(f"{scheme}://{authority}", path.strip("/"), mark + query)

    @property
    def scheme(self) -> str:
        """The part before `://`."""
        return self.base.partition("://")[0]

    @property
    def path(self) -> str:
        """The path with `%` escapes decoded, as in the store; as in `os.fsdecode` if not UTF-8."""
        return unquote(self.typed, errors="surrogateescape")

    @property
    def store(self) -> str:
        """The URI of the whole store, with its options."""
        return f"{self.base}/{self.query}"

    @property
    def options(self) -> list[tuple[str, str]]:
        """The options, each with its value."""
        return parse_qsl(self.query[1:], keep_blank_values=True)

    def at(self, path: str) -> str:
        """The URI of another object in the same store."""
        escaped = path.replace("%", "%25").replace("?", "%3F")
        return f"{self.base}/{escaped}{self.query}"


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Whether a name is a URI.

    Example:
        `is_uri("s3://bucket/train.csv")` is true.
    """
    return _URI.match(os.fspath(text)) is not None


def plain(text: str | os.PathLike[str]) -> str:
    """The path for the URI of a local file; any other name unchanged.

    Example:
        `plain("file:///data/a%20b.csv")` is `/data/a b.csv`.
    """
    text = os.fspath(text)
    if not is_uri(text):
        return text
    uri = Uri.of(text)
    return f"/{uri.path}" if (uri.base, uri.query) == ("file://", "") else text


def redact(text: str) -> str:
    """A name without secrets: a URI without user, password and options.

    Example:
        `redact("s3://key:secret@bucket/a.csv?region=eu-west-1")` is `s3://***@bucket/a.csv`.
    """
    if not is_uri(text):
        return text
    scheme, _, rest = text.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at and ":" in user:
        rest = "***@" + rest[len(user) + 1 :]
    elif not at and re.search(r":(?!\d*$)", authority) and "@" in rest:
        # Not a valid URI, but a password with a slash: redact it, too.
        rest = "***@" + rest.rpartition("@")[2]
    return f"{scheme}://{rest.partition('?')[0]}"


def redact_message(message: str, text: str) -> str:
    """A library's message about a URI, in one line and without its secrets."""
    if is_uri(text):
        uri = Uri.of(text)
        for uri_text in (text, uri.store):
            message = message.replace(uri_text, redact(text))
        userinfo = uri.base.partition("://")[2].rpartition("@")[0]
        secrets = [value for name, value in uri.options if name not in _PUBLIC_OPTIONS]
        if ":" in userinfo:
            secrets += userinfo.split(":", 1)
        for secret in filter(None, secrets):
            for spelling in {secret, unquote(secret), quote(secret, safe="")}:
                message = message.replace(spelling, "***")
    return " ".join(message.split())


def identity(text: str | os.PathLike[str]) -> str:
    """A canonical name, the same for all names of one file or object.

    For a local file, a URI with symbolic links resolved; for an object, its URI without user,
    password and options, except for the endpoint.
    """
    place, endpoint = _place(os.fspath(text))
    return place + (f"?{endpoint}" if endpoint else "")


def lies_in(text: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether a file or an object is below a folder.

    Example:
        `lies_in("s3://bucket/a/b.csv", "s3://bucket/a/")` is true.
    """
    (place, endpoint), (above, other) = _place(os.fspath(text)), _place(os.fspath(folder))
    return endpoint == other and place.startswith(above.rstrip("/") + "/")


def _place(text: str) -> tuple[str, str]:
    """The canonical URI of a file or an object, and the endpoint of its store if it has one."""
    if not is_uri(text):
        return f"file://{os.path.realpath(text)}", ""
    uri = Uri.of(text)
    if uri.scheme == "file":
        return f"file://{os.path.realpath('/' + uri.path)}", ""
    authority = uri.base.partition("://")[2]
    if ":" in authority.rpartition("@")[0]:
        authority = authority.rpartition("@")[2]
    return f"{uri.scheme}://{authority}/{uri.path}", dict(uri.options).get("endpoint_override", "")
