"""The certificate by which the service speaks HTTPS: read, checked, and exchanged while it runs."""

import logging
import ssl
from pathlib import Path

from gatewise.vocab.errors import GatewiseError

_log = logging.getLogger(__name__)


class CertificateError(GatewiseError):
    """A certificate or a key that cannot be used; the message names the file."""


def context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """What speaks TLS with a certificate, 1.2 or newer, with the ciphers that Python takes.

    Args:
        certificate: The chain, in PEM.
        key: Its private key, in PEM; None if it is in the same file.

    Raises:
        CertificateError: If a file is missing, is none, or the two do not belong together.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(made, certificate, key)
    made.set_alpn_protocols(["http/1.1"])
    return made


def reload(spoken: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Lets new connections have the certificate that is in the files now.

    Files that cannot be used are logged, and change nothing.
    """
    try:
        context(certificate, key)  # on another one first: half a change would be worse than none
        _load(spoken, certificate, key)
    except CertificateError as error:
        _log.error("the certificate stays as it was: %s", error)  # one line is all


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
