"""A headless Chromium, its pages, and the list of what they requested, over its DevTools protocol.

Every message is one JSON object, ended by a zero byte.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.lib.command import BenchmarkError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_WAIT = 0.05
_LOADED = "!window.left && document.readyState === 'complete'"


def installed() -> str | None:
    """Where Chromium is; None if it is not on the path."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class ChromiumError(BenchmarkError):
    """Chromium is missing, has ended, or failed at a command."""


@dataclass
class Page:
    """One page of a browser.

    Attributes:
        browser: Whose.
        session: What the protocol calls the connection to it.
    """

    browser: "Chromium"
    session: str

    def go(self, address: str) -> None:
        """Opens an address and waits until it is loaded."""
        self.evaluate("window.left = true")
        answer = self._call("Page.navigate", url=address)
        if "errorText" in answer:
            raise ChromiumError(f"{address}: {answer['errorText']}")
        if "loaderId" not in answer:
            return  # nothing but the part after # is another
        self.wait_for(_LOADED)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript; a promise is waited for.

        Raises:
            ChromiumError: If it throws.
        """
        answer = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise ChromiumError(f"the page threw: {_thrown(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def reload(self) -> None:
        """Loads the page again and waits until it is loaded."""
        self.evaluate("window.left = true")
        self._call("Page.reload")
        self.wait_for(_LOADED)

    def wait_for(self, expression: str, patience: float = 60) -> None:
        """Waits until an expression is true.

        Raises:
            ChromiumError: If it is not, after so many seconds.
        """
        end = time.monotonic() + patience
        while True:
            try:
                if self.evaluate(expression):
                    return
            except ChromiumError as error:
                # A request that was sent while one page made way for another has no answer.
                if "context" not in str(error):
                    raise
            if time.monotonic() > end:
                raise ChromiumError(f"not so after {patience:g} s: {expression}")
            time.sleep(_WAIT)

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Gives the page a width and a height in pixels, and light or dark."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """Presses and lets go of a key by its name, such as `Tab`, or types a character."""
        text = {"text": key} if len(key) == 1 else {"code": key}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def insert(self, text: str) -> None:
        """Types a text where the cursor is."""
        self._call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """What the page looks like, from its top to its end, as PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)


@dataclass
class Chromium:
    """A browser, from the start of the block to its end.

    Attributes:
        profile: A folder for what it keeps.
        patience: Seconds that it may take to answer.
        requested: The addresses that its pages and their workers requested.
        complaints: What its pages reported as errors.
    """

    profile: Path
    patience: float = 600
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        found = installed()
        if found is None:
            raise ChromiumError(f"expected a Chromium on the path, found none of {_NAMES}")
        self._socket, theirs = socket.socketpair()
        # It reads from descriptor 3 and writes to 4; not every sh knows numbers above 9.
        command = f'exec "$@" 3<&{theirs.fileno()} 4>&{theirs.fileno()}'
        options = [*_OPTIONS, f"--user-data-dir={self.profile}", "about:blank"]
        with theirs:
            self._process = subprocess.Popen(
                ["bash", "-c", command, "bash", found, *options],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._buffer, self._number = b"", 0
        # Service workers are no part of a page: they are watched from their first step on.
        self.call(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def page(self) -> Page:
        """A new page, with nothing on it yet."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for method in ("Network.enable", "Runtime.enable", "Log.enable", "Page.enable"):
            self.call(method, session)
        return Page(self, session)

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Gives a command and waits for its answer.

        Raises:
            ChromiumError: If the command fails or the browser has ended.
        """
        end = time.monotonic() + self.patience
        try:
            number = self._send(method, session, parameters)
            while (message := self._next(end)).get("id") != number:
                self._note(message.get("method"), message.get("params", {}))
        except TimeoutError:
            raise ChromiumError(f"{method}: no answer after {self.patience:g} s") from None
        except ConnectionError:
            raise ChromiumError("the browser has ended") from None
        if "error" in message:
            raise ChromiumError(f"{method}: {message['error']['message']}")
        answer: dict[str, Any] = message["result"]
        return answer

    def _send(self, method: str, session: str | None, parameters: dict[str, object]) -> int:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._socket.sendall(json.dumps(message).encode() + b"\0")
        return self._number

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            received = self._socket.recv(1 << 20)
            if not received:
                raise ConnectionResetError
            self._buffer += received
        first, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(first)
        return message

    def _note(self, method: str | None, event: dict[str, Any]) -> None:
        """Takes note of what happened."""
        match method:
            case "Target.attachedToTarget":
                self._send("Network.enable", event["sessionId"], {})
                self._send("Runtime.runIfWaitingForDebugger", event["sessionId"], {})
            case "Network.requestWillBeSent":
                self.requested.append(event["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(_thrown(event["exceptionDetails"]))
            case "Log.entryAdded" if event["entry"]["level"] == "error":
                entry = event["entry"]
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")


def _thrown(details: dict[str, Any]) -> str:
    description: str = details.get("exception", {}).get("description", details["text"])
    return description
