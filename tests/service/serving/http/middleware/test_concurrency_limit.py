"""The limit of requests in flight: they are counted, and a request above it is refused."""

import asyncio
import json
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gatewise.service.serving.http.middleware.concurrency_limit import ConcurrencyLimit

SCOPE = {"type": "http", "path": "/predict", "method": "POST", "headers": []}


async def receive_nothing() -> dict[str, Any]:
    return {"type": "http.request"}


class Client:
    """Sends one request to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self.messages: list[Any] = []
        self.task = asyncio.create_task(app(dict(SCOPE), receive_nothing, self._send))

    async def _send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


def test_a_request_above_the_limit_is_refused() -> None:
    async def send() -> None:
        resume = asyncio.Event()
        refused: list[int] = []

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await resume.wait()
            await Response("done")(scope, receive, send)

        app = ConcurrencyLimit(slow, 2, lambda: refused.append(1))
        first_two = [Client(app), Client(app)]
        await asyncio.sleep(0)
        assert app.in_flight == 2
        third = Client(app)
        await third.task
        assert (third.status, refused) == (429, [1])
        assert third.headers[b"retry-after"] == b"1"
        assert third.headers[b"cache-control"] == b"no-store"
        problem = json.loads(third.messages[1]["body"])
        assert problem["type"] == "urn:gatewise:problem:too-many-requests"
        resume.set()
        await asyncio.gather(*(client.task for client in first_two))
        assert [client.status for client in first_two] == [200, 200]
        assert app.in_flight == 0

    asyncio.run(send())


def test_a_request_that_fails_is_no_longer_in_flight() -> None:
    async def send() -> None:
        async def fail(scope: Scope, receive: Receive, send: Send) -> None:
            raise ValueError("a fault")

        app = ConcurrencyLimit(fail, 1, lambda: None)
        (result,) = await asyncio.gather(Client(app).task, return_exceptions=True)
        assert isinstance(result, ValueError)
        assert app.in_flight == 0

    asyncio.run(send())
