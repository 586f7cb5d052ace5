"""The hostile requests are the same every time, and what is wrong with an answer is reported."""

import asyncio

import pytest

from benchmarks.hostile import bodies, client
from benchmarks.hostile.requests import KINDS, Script

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


def played(script, answer, patience=1.0):
    """How a script ends at a server that answers with these bytes; None closes at once."""

    async def serve(reader, writer):
        if answer is not None:
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            await reader.read()
        writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await client.play(port, script, patience)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (OK, "200"),
        (OK + OK, client.EXTRA),
        (b"", client.HANGS),
        (OK[:-1], client.HANGS),
        (None, client.CLOSED),
    ],
)
def test_an_end_is_called_what_it_is(answer, ended):
    assert played(Script((b"x",)), answer, patience=0.3) == ended


def test_the_service_survives_every_kind(run, model_folder):
    kinds = [kind for kind in KINDS if kind != "without end"]
    only = [f"--only={kind}" for kind in kinds]
    document = run(bodies.main, model_folder, "--requests", 96, "--rounds", 2, *only)
    assert [(row["kind"], row["requests"]) for row in document["endings"]] == [
        (kind, 6) for kind in kinds
    ]
    assert len(document["usage"]) == 3
    memory = "no growth of memory in the last third"
    missed = [what for what, met in document["verdicts"].items() if not met and what != memory]
    assert missed == [], document["endings"]
