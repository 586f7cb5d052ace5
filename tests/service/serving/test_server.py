import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.serving.listen_socket import ListenError, listen
from gatewise.service.serving.server import serve
from gatewise.service.serving.settings import Settings

SCRIPT = """
import sys
from pathlib import Path
from gatewise.service.serving.server import serve
from gatewise.service.serving.settings import Settings
{before}
serve(Settings(model=Path(sys.argv[1]), port=0, shutdown_seconds=5))
"""

SLOW = """
import time
from gatewise.service.serving import batching
compute = batching.compute
def slowly(*arguments):
    print("asked", file=sys.stderr, flush=True)
    time.sleep(1)
    return compute(*arguments)
batching.compute = slowly
"""

Start = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start(model_folder: Path) -> Iterator[Start]:
    """Starts a service as a process; returns it with its first log line."""
    with ExitStack() as stack:

        def start_process(before: str = "") -> tuple["subprocess.Popen[str]", str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SCRIPT.format(before=before), str(model_folder)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stderr is not None
            return process, process.stderr.readline()

        yield start_process


def url_in(line: str) -> str:
    found = re.search(r"INFO serving \S+ at (http://\S+), ready after (\d+\.\d\d) s\n", line)
    assert found, line
    assert 0 < float(found[2]) < 60
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_serves_until_a_signal(start: Start, number: signal.Signals) -> None:
    process, line = start()
    url = url_in(line)
    assert httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200
    response = httpx.post(f"{url}/predict", json={"inputs": "who"}, trust_env=False)
    assert response.status_code == 200
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_request_in_flight_is_answered_before_the_process_stops(start: Start) -> None:
    process, line = start(SLOW)
    url = url_in(line)
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(f"{url}/predict", json={"inputs": "who"}, trust_env=False))

    asking = threading.Thread(target=ask)
    asking.start()
    assert process.stderr is not None
    assert process.stderr.readline() == "asked\n"
    process.send_signal(signal.SIGTERM)
    asking.join()
    assert [answer.status_code for answer in answers] == [200]
    assert process.wait(20) == 0


def test_an_answer_does_not_wait_for_nagles_algorithm(start: Start) -> None:
    _, line = start()
    with httpx.Client(base_url=url_in(line), trust_env=False) as client:
        seconds = sorted(
            client.post("/predict", json={"inputs": "who"}).elapsed.total_seconds()
            for _ in range(21)
        )
    # With Nagle's algorithm each takes 40 ms: the kernel holds back the second part of an answer.
    assert seconds[10] < 0.03


def test_a_port_in_use() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use; choose"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 100])
def test_an_unknown_host(host: str) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on .*:0: no such host; choose"):
        listen(host, 0)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ListenError, match="Cannot assign requested address; choose"):
        listen("192.0.2.1", 0)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address() -> None:
    try:
        listener = listen("::1", 0)
    except ListenError:
        pytest.skip("the loopback has no IPv6 address")
    with listener:
        assert listener.family == socket.AF_INET6


def test_the_model_is_loaded_before_the_port_is_bound(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ModelFolderError) as refused:
            serve(Settings(model=tmp_path / "nothing", port=port))
    assert "\n" not in str(refused.value)
