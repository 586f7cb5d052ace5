"""Requests under way are counted, one too many is refused, and Ray names the requests itself."""

import asyncio
import json
from typing import Any

from gatewise.service.serving.http.middleware.concurrency_limit import (
    ConcurrencyLimit,
    without_request_id,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

SCOPE = {"type": "http", "path": "/predict", "method": "POST", "headers": []}


async def nothing() -> dict[str, Any]:
    return {"type": "http.request"}


class Asked:
    """One request to an application, and what came of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.messages: list[Any] = []
        self.task = asyncio.create_task(app(dict(SCOPE), nothing, self._send))

    async def _send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


def test_a_request_too_many_is_refused_and_none_after_it() -> None:
    async def ask() -> None:
        go_on = asyncio.Event()
        refused: list[int] = []

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            await Response("done")(scope, receive, send)

        app = ConcurrencyLimit(slow, 2, lambda: refused.append(1))
        under_way = [Asked(app), Asked(app)]
        await asyncio.sleep(0)
        assert app.under_way == 2
        third = Asked(app)
        await third.task
        assert (third.status, refused) == (429, [1])
        assert third.headers[b"retry-after"] == b"1"
        assert third.headers[b"cache-control"] == b"no-store"
        problem = json.loads(third.messages[1]["body"])
        assert problem["type"] == "urn:gatewise:problem:too-many-requests"
        go_on.set()
        for one in under_way:
            await one.task
        assert [one.status for one in under_way] == [200, 200]
        assert app.under_way == 0

    asyncio.run(ask())


def test_a_request_that_fails_is_no_longer_under_way() -> None:
    async def ask() -> None:
        async def fail(scope: Scope, receive: Receive, send: Send) -> None:
            raise ValueError("a fault")

        app = ConcurrencyLimit(fail, 1)
        (result,) = await asyncio.gather(Asked(app).task, return_exceptions=True)
        assert isinstance(result, ValueError)
        assert app.under_way == 0

    asyncio.run(ask())


def test_the_name_of_a_request_is_left_to_the_server() -> None:
    async def ask() -> None:
        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            await Response("done", headers={"X-Request-ID": "1", "X-Other": "2"})(
                scope, receive, send
            )

        asked = Asked(without_request_id(named))
        await asked.task
        assert b"x-request-id" not in asked.headers
        assert asked.headers[b"x-other"] == b"2"

    asyncio.run(ask())
