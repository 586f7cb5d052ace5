"""Requests that classify a text, as each server reads them, and its answers as scores."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gatewise

Scores = Mapping[str, float]
"""The score of every label, for one text."""


@dataclass(frozen=True)
class RequestFormat:
    """How a server is asked for one text, and how the body of its answer is read."""

    body: Callable[[str], bytes]
    scores: Callable[[bytes], Scores]


def post(port: int, path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A complete POST request as it is sent over HTTP/1.1."""
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def hugging_face_body(texts: str | Sequence[str], **parameters: object) -> bytes:
    """What Hugging Face's clients send: one text, or several."""
    inputs = texts if isinstance(texts, str) else list(texts)
    return _json({"inputs": inputs, **({"parameters": parameters} if parameters else {})})


def expected_scores(model: Path, texts: Sequence[str]) -> list[Scores]:
    """What a model says of texts in this process."""
    classifier = gatewise.load(model)
    rows = classifier.predict_proba(list(texts)).tolist()
    return [dict(zip(classifier.classes_, row, strict=True)) for row in rows]


def agree(received: Scores, expected: Scores, tolerance: float = 1e-5) -> bool:
    """Whether the labels are the same, and no score is further away than the tolerance."""
    return received.keys() == expected.keys() and all(
        abs(received[label] - score) <= tolerance for label, score in expected.items()
    )


def _scores_in_list(answer: bytes) -> Scores:
    # One list a text; some servers leave the outer one out where there is one text.
    found: Any = json.loads(answer)
    first = found[0] if isinstance(found[0], list) else found
    return {each["label"]: each["score"] for each in first}


def _scores_in_tensors(answer: bytes) -> Scores:
    tensors = {each["name"]: each["data"] for each in json.loads(answer)["outputs"]}
    return dict(zip(tensors["labels"], tensors["scores"], strict=True))


def _open_inference_body(text: str) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    return _json({"inputs": [tensor | {"parameters": {"content_type": "str"}}]})


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


HUGGING_FACE = RequestFormat(hugging_face_body, _scores_in_list)
HUGGING_FACE_LIST = RequestFormat(lambda text: hugging_face_body([text]), _scores_in_list)
OPEN_INFERENCE = RequestFormat(_open_inference_body, _scores_in_tensors)
