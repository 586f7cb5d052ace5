"""URIs of files in object stores: told from paths, taken apart, shown without their secrets.

A URI is taken as it is typed: whatever is no URI's character is encoded, and `#` belongs to the
path, where other readers would cut the name short. What follows `?` are options of the store,
such as `region` and `endpoint_override`, and no part of a name. Knows text alone: no store is
asked anything.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# The options whose values may be shown; a value of any other may be a secret.
_HARMLESS = {"region", "scheme", "endpoint_override", "replication", "buffer_size", "user"}


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI in its parts.

    Attributes:
        base: Scheme and authority, such as `s3://bucket`.
        typed: The path as it was typed, without the slashes at its ends.
        query: The options with their question mark, or nothing.
    """

    base: str
    typed: str
    query: str

    @classmethod
    def of(cls, text: str) -> "Uri":
        """Take a URI apart."""
        address, mark, query = text.partition("?")
        scheme, _, rest = address.partition("://")
        authority, _, path = rest.partition("/")
        return cls(f"{scheme}://{authority}", path.strip("/"), mark + query)

    @property
    def scheme(self) -> str:
        """What stands before `://`."""
        return self.base.partition("://")[0]

    @property
    def path(self) -> str:
        """The path with its `%` escapes undone, as the store has it."""
        return unquote(self.typed)

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
    """Tell a URI from a path.

    Example:
        `is_uri("s3://bucket/train.csv")` is true.
    """
    return _URI.match(os.fspath(text)) is not None


def plain(text: str | os.PathLike[str]) -> str:
    """Turn the URI of a local file into its path, and leave every other name as it is.

    Example:
        `plain("file:///data/a%20b.csv")` is `/data/a b.csv`.
    """
    text = os.fspath(text)
    if not is_uri(text):
        return text
    uri = Uri.of(text)
    return f"/{uri.path}" if (uri.base, uri.query) == ("file://", "") else text


def redact(text: str) -> str:
    """Write a name as it may be printed: a URI without its password and its options.

    Example:
        `shown("s3://key:secret@bucket/a.csv?region=eu-west-1")` is `s3://***@bucket/a.csv`.
    """
    if not is_uri(text):
        return text
    scheme, _, rest = text.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at and ":" in user:
        rest = "***@" + rest[len(user) + 1 :]
    elif not at and re.search(r":(?!\d*$)", authority) and "@" in rest:
        # A password with a slash of its own: no URI, but it is not to be printed either.
        rest = "***@" + rest.rpartition("@")[2]
    return f"{scheme}://{rest.partition('?')[0]}"


def scrubbed(message: str, text: str) -> str:
    """Take a URI's secrets out of what a library says about it, in one line."""
    if is_uri(text):
        uri = Uri.of(text)
        for whole in (text, uri.store):
            message = message.replace(whole, redact(text))
        userinfo = uri.base.partition("://")[2].rpartition("@")[0]
        secrets = [value for name, value in uri.options if name not in _HARMLESS]
        if ":" in userinfo:
            secrets += userinfo.split(":", 1)
        for secret in filter(None, secrets):
            for spelling in {secret, unquote(secret), quote(secret, safe="")}:
                message = message.replace(spelling, "***")
    return " ".join(message.split())


def identity(text: str | os.PathLike[str]) -> str:
    """Name a file or an object so that two names of one are the same.

    A local file has the name that all symbolic links lead to, as a URI; an object has its URI
    without user, password and options, but for the endpoint.
    """
    place, endpoint = _place(os.fspath(text))
    return place + (f"?{endpoint}" if endpoint else "")


def lies_in(text: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Tell whether a file or an object is below a folder.

    Example:
        `lies_in("s3://bucket/a/b.csv", "s3://bucket/a/")` is true.
    """
    (place, endpoint), (above, other) = _place(os.fspath(text)), _place(os.fspath(folder))
    return endpoint == other and place.startswith(above.rstrip("/") + "/")


def _place(text: str) -> tuple[str, str]:
    """Where a file or an object is, and the endpoint of its store where one was told."""
    if not is_uri(text):
        return f"file://{os.path.realpath(text)}", ""
    uri = Uri.of(text)
    if uri.scheme == "file":
        return f"file://{os.path.realpath('/' + uri.path)}", ""
    authority = uri.base.partition("://")[2]
    if ":" in authority.rpartition("@")[0]:
        authority = authority.rpartition("@")[2]
    return f"{uri.scheme}://{authority}/{uri.path}", dict(uri.options).get("endpoint_override", "")
