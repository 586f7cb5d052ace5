"""The TLS certificate: read, checked, and replaced while the service runs."""

import logging
import ssl
from pathlib import Path

from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)


class CertificateError(GatewiseError):
    """A certificate or a key cannot be used; the message names the file."""


def context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Returns an SSL context with a certificate, for TLS 1.2 or newer with Python's ciphers."""
    new = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(new, certificate, key)
    new.set_alpn_protocols(["http/1.1"])
    return new


def reload(current: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Reads the files again, for new connections.

    If they cannot be used, the error is logged and nothing changes.
    """
    try:
        context(certificate, key)  # first in a new context, to change all or nothing
        _load(current, certificate, key)
    except CertificateError as error:
        _log.error("the certificate stays as it was: %s", error)


def _load(into: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    for file in (certificate, key or certificate):
        try:
            file.read_bytes()
        except OSError as error:
            raise CertificateError(f"{file}: cannot be read: {error.strerror}") from None

    def no_password() -> str:
        raise CertificateError(f"{key or certificate}: expected a key without a password")

    try:
        into.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise CertificateError(
            f"{certificate}: expected a certificate chain and its key in PEM: {reason}"
        ) from None
