"""The requests of many different clients: good ones, refused ones, and those that go away.

Owns what is asked and what may come back. Knows the routes of the service; nothing of its inside.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import bodies


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        name: What it is called.
        requests: Whole requests, one of which is asked each time.
        statuses: What may be answered, in a service that has the route.
        aborted: Whether the client goes away before it is answered.
    """

    name: str
    requests: Sequence[bytes]
    statuses: tuple[int, ...]
    aborted: bool = False


def kinds(port: int, name: str, texts: Sequence[str]) -> list[Kind]:
    """Every kind, for a service on a port.

    Args:
        port: The port.
        name: What the model is called.
        texts: Real texts.
    """
    turns = cycle(texts)
    groups = [list(islice(turns, 1 + number % 16)) for number in range(50)]
    several = [bodies.hugging_face(group) for group in groups]
    one = [bodies.hugging_face(text) for text in texts]
    top = [_json({"inputs": text, "parameters": {"top_k": 1}}) for text in texts]

    def posts(path: str, asked: Sequence[bytes]) -> list[bytes]:
        return [bodies.request(port, path, body) for body in asked]

    predict = posts("/predict", one)
    return [
        Kind("one text", predict, (200,)),
        Kind("one text, top_k", posts("/predict", top), (200,)),
        Kind("several texts", posts("/predict", several), (200,)),
        # An explanation asks for many texts, of which only so many may wait.
        Kind("explain", posts("/explain", one), (200, 429)),
        Kind("v2", posts(f"/v2/models/{name}/infer", list(map(bodies.V2.body, texts))), (200,)),
        Kind("health", [_get(port, "/health/ready")], (200,)),
        Kind("metrics", [_get(port, "/metrics")], (200,)),
        Kind("no JSON", posts("/predict", [b"{", b"", b"\xff", b'{"inputs": "a"']), (400,)),
        Kind("wrong shape", posts("/predict", _WRONG), (422,)),
        Kind("no route", [_get(port, "/nowhere")], (404,)),
        Kind("gone before the answer", predict, (), aborted=True),
        Kind("gone within the body", [each[: len(each) // 2 + 40] for each in predict], (), True),
    ]


_WRONG = [
    b'{"inputs": 1}',
    b'{"inputs": []}',
    b'{"inputs": ["a", null]}',
    b'{"inputs": ""}',
    b'{"inputs": "a", "parameters": {"top_k": 0}}',
    b'{"text": "a"}',
]


def _get(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
