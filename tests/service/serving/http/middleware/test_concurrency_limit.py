"""The limit of requests in flight: they are counted, and a request above it is refused."""

import asyncio
import json

from starlette.responses import Response

from gatewise.service.serving.http.middleware.concurrency_limit import ConcurrencyLimit


class Client:
    """Sends one request to an application."""

    def __init__(self, app):
        self.messages = []
        scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
        self.task = asyncio.create_task(app(scope, None, self._send))

    async def _send(self, message):
        self.messages.append(message)


def test_a_request_above_the_limit_is_refused():
    async def send():
        resume = asyncio.Event()
        refused = []

        async def slow(scope, receive, send):
            await resume.wait()
            await Response("done")(scope, receive, send)

        app = ConcurrencyLimit(slow, 2, lambda: refused.append(1))
        first_two = [Client(app), Client(app)]
        await asyncio.sleep(0)
        assert app.in_flight == 2
        third = Client(app)
        await third.task
        start, body = third.messages
        assert (start["status"], refused) == (429, [1])
        assert {(b"retry-after", b"1"), (b"cache-control", b"no-store")} <= set(start["headers"])
        assert json.loads(body["body"])["type"] == "urn:gatewise:problem:too-many-requests"
        resume.set()
        await asyncio.gather(*(client.task for client in first_two))
        assert [client.messages[0]["status"] for client in first_two] == [200, 200]
        assert app.in_flight == 0

    asyncio.run(send())


def test_a_request_that_fails_is_no_longer_in_flight():
    async def send():
        async def fail(scope, receive, send):
            raise ValueError("a fault")

        app = ConcurrencyLimit(fail, 1, lambda: None)
        (result,) = await asyncio.gather(Client(app).task, return_exceptions=True)
        assert isinstance(result, ValueError)
        assert app.in_flight == 0

    asyncio.run(send())
