"""One question over HTTP at a time, on a connection of its own: for checks, not for load."""

import http.client
from collections.abc import Mapping


def ask(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Asks a server on this machine, with POST if there is a body.

    Returns:
        The status and the body of the answer.

    Raises:
        OSError: If nothing answers.
    """
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        told = {"Content-Type": "application/json"} if body is not None else {}
        asking.request("GET" if body is None else "POST", path, body, {**told, **(headers or {})})
        answer = asking.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP came back: {error!r}") from None
    finally:
        asking.close()
