"""A client of an endpoint with OpenAI's chat completions: requests, retries, what went wrong.

The key comes from the environment, goes into the header of a request and nowhere else.
"""

import math
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from gatewise.training.teacher.completion import Completion, RefusedTextError
from gatewise.training.teacher.teacher import TeacherError

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable of the key; without it requests carry none."""

_TIMEOUT_SECONDS = 300.0
"""A model on a busy processor takes minutes for several requests at a time."""

_CONNECT_SECONDS = 10.0
_TRIES = 6
_FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is twice as long."""

_LONGEST_WAIT = 60.0
"""Seconds that an endpoint may ask to wait; one that asks for more is given up."""

_MAX_SHOWN = 200
_REFUSED = (400, 413, 422)
"""The statuses of a request that would be refused again."""


class ChatEndpoint:
    """An endpoint; safe to call from several threads."""

    def __init__(self, url: str, model: str | None = None, first_wait: float = _FIRST_WAIT) -> None:
        """Takes the address of an endpoint; nothing is sent yet unless the model is missing.

        Args:
            url: The base URL, such as `http://127.0.0.1:8080/v1`.
            model: The name of a model; None for the only one that the endpoint has.
            first_wait: Seconds before the second try.

        Raises:
            TeacherError: If the URL or the key cannot be used, or the model must be named.
        """
        self.url = _checked(url)
        self._key = _key()
        self._client: httpx.Client | None = None
        self._first_wait = first_wait
        self._stopped = threading.Event()
        self._has_answered = False
        self._refused_options: set[str] = set()
        if model is None:
            with self.connected():
                model = self._only_model()
        self.model = model

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Keeps connections open for the requests of a block."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS)
        with httpx.Client(timeout=timeout, headers=headers) as self._client:
            yield
        self._client = None

    def stop(self) -> None:
        """Has requests that wait for their next try end at once, with an error."""
        self._stopped.set()

    def complete(
        self, messages: Sequence[Mapping[str, str]], options: Mapping[str, object]
    ) -> Completion:
        """The answers to a conversation, inside `connected`.

        Args:
            messages: The conversation, as objects with `role` and `content`.
            options: Parameters that the endpoint may not know: one that it refuses is left out of
                this request and all later ones.

        Raises:
            RefusedTextError: If the endpoint refuses what the request holds.
            TeacherError: If it gives no answer in several tries, or will not give one.
        """
        while True:
            sent = {name: v for name, v in options.items() if name not in self._refused_options}
            body = {"model": self.model, "messages": list(messages), **sent}
            try:
                return Completion.of(self._asked("POST", "/chat/completions", body))
            except RefusedTextError as error:
                named = {name for name in sent if re.search(rf"\b{name}\b", str(error))}
                if not named:
                    raise
                self._refused_options |= named

    def _only_model(self) -> str:
        found = self._asked("GET", "/models", None).get("data")
        names = [
            entry["id"]
            for entry in (found if isinstance(found, list) else [])
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        ]
        if len(names) == 1:
            return names[0]
        shown = ", ".join(names[:10]) or "none that it names"
        raise TeacherError(
            f"{self.url}: expected teacher.model, the name of one of its models: {shown}"
        )

    def _asked(self, method: str, path: str, body: object) -> dict[str, Any]:
        """The JSON object of a successful response, in several tries."""
        if self._client is None:
            raise RuntimeError("requests are sent inside ChatEndpoint.connected")
        trouble = "was not asked any more"
        for number in range(_TRIES):
            if self._stopped.is_set():
                break
            wait = self._first_wait * 2**number
            try:
                response = self._client.request(method, f"{self.url}{path}", json=body)
            except httpx.RequestError as error:
                trouble = self._why_unanswered(error)
                if not self._has_answered:
                    break
            else:
                self._has_answered = True
                found = _json(response)
                if response.is_success and ("choices" in found or "data" in found):
                    return found
                trouble = self._why_failed(response)
                wait = _wait(response, wait)
                if wait > _LONGEST_WAIT:
                    trouble += f": it asks to wait {wait:,.0f} seconds"
                    break
            if number < _TRIES - 1:
                self._stopped.wait(wait)
        raise TeacherError(f"{self.url}: the endpoint {trouble}")

    def _why_unanswered(self, error: httpx.RequestError) -> str:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
            return f"gave no answer in {_TIMEOUT_SECONDS:g} seconds"
        return f"cannot be reached: {self._shown(str(error)) or type(error).__name__}"

    def _why_failed(self, response: httpx.Response) -> str:
        """What is wrong with a response, where a later try may succeed.

        Raises:
            TeacherError: If none will.
        """
        if response.is_success:
            said = self._shown(response.text) or "it is empty"
            return f"gave an answer that is no chat completion: {said}"
        status, said = response.status_code, self._said(response)
        if status in (401, 403):
            # Without what the endpoint says, which may repeat a part of the key.
            reason = "does not accept the key in" if self._key else "expects a key: set"
            raise TeacherError(
                f"{self.url}: the endpoint {reason} {KEY_VARIABLE} (status {status})"
            )
        limited = status == 429 and "Retry-After" not in response.headers
        if status == 402 or (limited and "quota" in said.lower()):
            raise TeacherError(f"{self.url}: the quota of the endpoint is exhausted: {said}")
        if status in _REFUSED:
            raise RefusedTextError(f"{self.url}: the endpoint refuses a request: {said}")
        if status in (408, 409, 429) or status >= 500:
            return f"still answered with status {status} after several tries: {said}"
        raise TeacherError(
            f"{self.url}: the endpoint answers with status {status}: {said}: expected the base URL "
            "of chat completions, such as http://127.0.0.1:8080/v1, and a model that it has"
        )

    def _said(self, response: httpx.Response) -> str:
        """The message of a failed response, with the code of the error."""
        document = _json(response)
        error = document.get("error", document)
        if isinstance(error, dict):
            parts = [error.get(name) for name in ("code", "message", "detail")]
            error = ": ".join(part for part in parts if isinstance(part, str))
        said = error if isinstance(error, str) and error else response.text
        return self._shown(said) or "it gives no reason"

    def _shown(self, text: str) -> str:
        """The beginning of what an endpoint says, in one line and without the key."""
        if self._key:
            text = text.replace(self._key, "…")
        line = " ".join(text.split())
        return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}…"


def _checked(url: str) -> str:
    """A base URL without the slash at its end."""
    expected = "teacher.url: expected a base URL such as http://127.0.0.1:8080/v1"
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        # Without the reason, which repeats a part of the URL.
        raise TeacherError(
            f"{expected}, received one that is not valid", option="teacher"
        ) from None
    if parts.userinfo or parts.query or parts.fragment:
        # Not repeated, because it may hold a secret.
        raise TeacherError(
            f"{expected}, received one with credentials, a query or a fragment: the key belongs in "
            f"the environment variable {KEY_VARIABLE}",
            option="teacher",
        )
    if parts.scheme not in ("http", "https") or not parts.host:
        raise TeacherError(f"{expected}, received {url!r}", option="teacher")
    return url.rstrip("/")


def _key() -> str | None:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise TeacherError(f"{KEY_VARIABLE}: expected printable ASCII, received other characters")
    return key or None


def _json(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a response; an empty one if it has none."""
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _wait(response: httpx.Response, otherwise: float) -> float:
    """The seconds that a response asks to wait."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return otherwise
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else otherwise
