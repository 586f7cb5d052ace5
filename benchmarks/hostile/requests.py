"""Hostile requests as bytes: the ways in which each kind is wrong, the same ones every time."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PATH = "/predict"
_HOST = "Host: localhost"
_JSON = "Content-Type: application/json"


@dataclass(frozen=True)
class Script:
    """What a hostile client does."""

    steps: tuple[bytes | float, ...]  # what it sends; a number is seconds that it waits
    answers: int = 1  # how many there may be at most
    half_close: bool = False  # whether it then closes its half of the connection
    abort: bool = False  # whether it then resets the connection instead of reading
    forever: bool = False  # whether it goes on sending a byte at a time without end


Make = Callable[[random.Random], Script]


def script(kind: str, number: int) -> Script:
    """The request of a kind, by its number."""
    return KINDS[kind](random.Random(f"{kind} {number}"))


def post(body: bytes, *headers: str, length: str | None = None, path: str = PATH) -> bytes:
    """A complete POST request; the length is that of the body unless another is given."""
    content_length = f"Content-Length: {len(body) if length is None else length}"
    return _head(f"POST {path} HTTP/1.1", _HOST, _JSON, content_length, *headers) + body


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _sent(body: bytes) -> Script:
    return Script((post(body),))


def _value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.randint(-(2**70), 2**70),
        lambda: chance.uniform(-1e300, 1e300),
        lambda: "".join(chr(chance.randint(1, 0x2FFF)) for _ in range(chance.randint(0, 20))),
    ]
    if depth < 4:
        makers.append(lambda: [_value(chance, depth + 1) for _ in range(chance.randint(0, 4))])
        makers.append(
            lambda: {
                chance.choice(("inputs", "parameters", "top_k", "x", "")): _value(chance, depth + 1)
                for _ in range(chance.randint(0, 4))
            }
        )
    return chance.choice(makers)()


def _wrong_types(chance: random.Random) -> Script:
    shapes = [
        {"inputs": _value(chance)},
        {"inputs": "who", "parameters": _value(chance)},
        {"inputs": "who", "parameters": {"top_k": _value(chance)}},
        {"inputs": "who", "parameters": {"function_to_apply": _value(chance)}},
        {"inputs": ["who", _value(chance)]},
        _value(chance),
    ]
    return _sent(json.dumps(chance.choice(shapes)).encode())


def _deep_nesting(chance: random.Random) -> Script:
    depth = int(10 ** chance.uniform(1, 5))
    opening, closing = chance.choice([("[", "]"), ('{"inputs":', "}"), ('{"a":[', "]}")])
    closed = closing * depth if chance.random() < 0.7 else ""
    inside = f"{opening * depth}1{closed}"
    whole = chance.choice([inside, f'{{"inputs": {inside}}}', f'{{"inputs": "a", "x": {inside}}}'])
    return _sent(whole[:900_000].encode())


def _huge_numbers(chance: random.Random) -> Script:
    digits = "9" * int(10 ** chance.uniform(1, 5))
    number = chance.choice(
        [digits, f"-{digits}", f"1e{digits[:9]}", f"0.{digits}", "NaN", "-Infinity", "1e-999999"]
    )
    forms = [
        '{"inputs": %s}',
        '{"inputs": "a", "parameters": {"top_k": %s}}',
        '{"inputs": ["a", %s]}',
        "%s",
    ]
    return _sent((chance.choice(forms) % number).encode())


def _broken_utf8(chance: random.Random) -> Script:
    pieces = [
        chance.randbytes(chance.randint(1, 200)),
        "é€𝄞".encode()[: chance.randint(1, 8)],
        b"\xc0\xaf\xe0\x80\xaf",  # overlong
        b"\xed\xa0\x80",  # half a surrogate pair
        b"\\ud800",
        b"\\udfff\\ud800",
        b"\xff\xfe",
        b"\x00",
        b"\\u12",
    ]
    text = b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 4)))
    mark = b"\xef\xbb\xbf" if chance.random() < 0.1 else b""
    return _sent(mark + b'{"inputs": "' + text + b'"}')


def _odd_texts(chance: random.Random) -> Script:
    alphabets = [
        "\u200b\u200d\ufeff\u2060",
        "\u0301\u0489\u20dd",
        "\u202e\u202d\u2066",
        "\U0001f469\u200d\U0001f52c",
        " \t\n\r\u00a0\u3000",
        "\x00\x01\x1f\x7f",
        "\U0010ffff\ue000\ufffe",
        "a",
        "汉字",
    ]
    length = int(10 ** chance.uniform(0, 4.5))
    alphabet = chance.choice(alphabets)
    text = "".join(chance.choice(alphabet) for _ in range(length))
    inputs: Any = text if chance.random() < 0.7 else [text] * chance.randint(1, 8)
    return _sent(json.dumps({"inputs": inputs}, ensure_ascii=chance.random() < 0.5).encode())


def _many(chance: random.Random) -> Script:
    count = int(10 ** chance.uniform(1, 4.5))
    made: list[Callable[[], Any]] = [
        lambda: {"inputs": [""] * count},
        lambda: {"inputs": ["a"] * count},
        lambda: {f"key {number}": 1 for number in range(count)},
        lambda: {"inputs": "a", "parameters": {f"key {number}": 1 for number in range(count)}},
        lambda: {"inputs": "a", "k" * count: 1},
        lambda: {"inputs": list(range(count))},
    ]
    return _sent(json.dumps(chance.choice(made)()).encode())


def _too_large(chance: random.Random) -> Script:
    size = chance.choice((1_100_000, 1_500_000))
    body = b'{"inputs": "' + b"a" * size + b'"}'
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = _head(f"POST {PATH} HTTP/1.1", _HOST, _JSON, "Transfer-Encoding: chunked")
    return chance.choice(
        [
            Script((post(body),)),
            Script((head + chunked,)),
            Script((post(b"{", length="10000000000"),), half_close=True),
            Script((post(b"{", length="9" * 30),), half_close=True),
        ]
    )


def _headers(chance: random.Random) -> Script:
    body = b'{"inputs": "who"}'
    junk = "x" * int(10 ** chance.uniform(1, 5.5))
    one = [
        [f"X-Long: {junk}"],
        [f"X-{number}: {number}" for number in range(int(10 ** chance.uniform(1, 3.5)))],
        [f"X-{junk}: 1"],
        [f"Cookie: {junk}"] * 3,
        ["X-Control: a\x01b"],
        ["X-Null: a\x00b"],
        ["no colon here"],
        [": no name"],
        ["X Space: 1"],
        [" folded: 1"],
        [_HOST, _HOST],
        ["Content-Encoding: gzip"],
        ["Content-Type: text/plain"],
        [f"Content-Type: application/json; charset={junk}"],
        ["Expect: 100-continue"],
        ["Expect: the unexpected"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"],
        ["Upgrade: websocket", "Connection: Upgrade"],
        ["Accept: \udcff\udcfe"],
    ]
    # With `Expect` there may be an answer that only says to go on.
    return Script((post(body, *chance.choice(one)),), answers=2)


def _chunks(chance: random.Random) -> Script:
    pieces = [
        b"5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"ffffffffffffffff\r\n",
        b"fffffffffffffffff\r\n",
        b"0x5\r\nhello\r\n",
        b"5;" + b"x" * chance.randint(1, 20_000) + b"\r\nhello\r\n",
        b"5\nhello\n",
        b"5\r\nhelloworld\r\n",
        b"\r\n",
        b"g\r\n",
        chance.randbytes(20),
        b"0\r\n" + b"X: y\r\n" * chance.randint(0, 2000) + b"\r\n",
    ]
    sent = b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 5)))
    head = _head(f"POST {PATH} HTTP/1.1", _HOST, _JSON, "Transfer-Encoding: chunked")
    # What follows the last chunk is another request, if it is one.
    return Script((head + sent,), answers=2, half_close=True)


def _pipelined(chance: random.Random) -> Script:
    count = chance.randint(2, 40)
    good, bad = post(b'{"inputs": "who"}'), post(b"{")
    return Script((b"".join(chance.choice((good, good, bad)) for _ in range(count)),), count)


def _smuggled(chance: random.Random) -> Script:
    inner = f"GET /smuggled HTTP/1.1\r\n{_HOST}\r\n\r\n".encode()
    body = b"0\r\n\r\n" + inner
    ways = [
        ["Transfer-Encoding: chunked", f"Content-Length: {len(body)}"],
        [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", f"Content-Length: {len(body)}"],
        [f"Content-Length: 5, {len(body)}"],
        [f"Content-Length: +{len(body)}"],
        [f"Content-Length: {len(body)}", "Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked", f"Content-Length: {len(body)}"],
        ["Transfer-Encoding: identity, chunked", f"Content-Length: {len(body)}"],
        ["Transfer-Encoding:\x0bchunked", f"Content-Length: {len(body)}"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: 3"],
        [f"Content-Length: 0x{len(body):x}"],
        [f"Content-Length: {len(body)}\r\n 1"],
        ["X: y\nTransfer-Encoding: chunked", f"Content-Length: {len(body)}"],
    ]
    way = chance.choice(ways)
    return Script((_head(f"POST {PATH} HTTP/1.1", _HOST, _JSON, *way) + body,))


def _no_http(chance: random.Random) -> Script:
    said = [
        chance.randbytes(chance.randint(1, 2000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(300),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n" * chance.randint(1, 5000),
        b"GET " + b"/" * int(10 ** chance.uniform(1, 5)) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n",
        b"POST",
        b"GET / HTTP/1.1\r\nHost: x\nX: y\n\n",
    ]
    return Script((chance.choice(said),), half_close=True)


def _paths(chance: random.Random) -> Script:
    paths = [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/predict%00",
        "/%",
        "/%ff%fe",
        "//predict",
        "/predict/",
        "/predict?" + "a=b&" * chance.randint(1, 5000),
        "http://elsewhere.invalid/predict",
        "*",
        "/models/../../x/versions/-1/predict",
        "/v2/models/" + "x" * chance.randint(1, 3000) + "/infer",
        "/\udcff",
        "/docs/../openapi.json",
    ]
    method = chance.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
    line = f"{method} {chance.choice(paths)} HTTP/1.1"
    return Script((_head(line, _HOST, "Content-Length: 0", "Connection: close"),), half_close=True)


def _half_closed(chance: random.Random) -> Script:
    whole = post(b'{"inputs": "who"}')
    cut = len(whole) if chance.random() < 0.5 else chance.randint(1, len(whole) - 1)
    return Script((whole[:cut],), half_close=True)


def _disconnected(chance: random.Random) -> Script:
    whole = post(b'{"inputs": "who"}')
    pause = chance.random() * 0.005
    return Script((whole[: chance.randint(1, len(whole))], pause), abort=True)


def _slow(chance: random.Random) -> Script:
    whole = post(json.dumps({"inputs": "who " * chance.randint(1, 50)}).encode())
    cuts = sorted(chance.sample(range(1, len(whole)), 5))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    steps = [step for part in parts for step in (part, chance.uniform(0.01, 0.1))]
    return Script(tuple(steps))


def _without_end(chance: random.Random) -> Script:
    whole = post(b'{"inputs": "' + b"a" * 1000, length="100000")
    return Script((whole[: chance.randint(1, len(whole))],), forever=True)


KINDS: dict[str, Make] = {
    "wrong types": _wrong_types,
    "deep nesting": _deep_nesting,
    "huge numbers": _huge_numbers,
    "broken UTF-8": _broken_utf8,
    "odd texts": _odd_texts,
    "too many": _many,
    "too large": _too_large,
    "headers": _headers,
    "chunks": _chunks,
    "pipelined": _pipelined,
    "smuggled": _smuggled,
    "no HTTP": _no_http,
    "paths": _paths,
    "half closed": _half_closed,
    "disconnected": _disconnected,
    "slow": _slow,
    "without end": _without_end,
}
