"""The texts of a set as the bodies of requests, in the shape that each server reads.

Knows corpora and JSON; no server.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from process import FailedError

Scores = Mapping[str, float]
"""The score of every label, for one text."""


@dataclass(frozen=True)
class Shape:
    """How a server is asked for one text, and how it answers.

    Attributes:
        body: The body that asks for a text.
        scores: What an answer's body says.
    """

    body: Callable[[str], bytes]
    scores: Callable[[bytes], Scores]


def texts(folder: Path, most: int | None = None) -> list[str]:
    """The test texts of a set, in the order of the file.

    Args:
        folder: The set: `test.csv` or `test.csv.gz`.
        most: How many to read at most.

    Raises:
        FailedError: If there is no such file.
        GatewiseError: If a row cannot be used.
    """
    files = (folder / "test.csv", folder / "test.csv.gz")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise FailedError(f"expected {files[0]} or {files[1].name}: there is neither")
    rows = [row.text for row in read_rows(file, bad_rows=StopAtBadRows())]
    return rows if most is None else rows[:most]


def request(port: int, path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A whole POST request over HTTP/1.1 as it goes over the wire."""
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def hugging_face(text: str | Sequence[str]) -> bytes:
    """What Hugging Face's clients send: one text, or several."""
    return _json({"inputs": text if isinstance(text, str) else list(text)})


def _of_list(answer: bytes) -> Scores:
    # One list a text; some servers leave the outer one out where there is one text.
    found: Any = json.loads(answer)
    first = found[0] if isinstance(found[0], list) else found
    return {each["label"]: each["score"] for each in first}


def _of_tensors(answer: bytes) -> Scores:
    tensors = {each["name"]: each["data"] for each in json.loads(answer)["outputs"]}
    return dict(zip(tensors["labels"], tensors["scores"], strict=True))


def _v2(text: str) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    return _json({"inputs": [tensor | {"parameters": {"content_type": "str"}}]})


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


HUGGING_FACE = Shape(hugging_face, _of_list)
LISTED = Shape(lambda text: hugging_face([text]), _of_list)
V2 = Shape(_v2, _of_tensors)
