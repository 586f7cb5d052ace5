"""The open loop asks at its rate whatever is answered, and the phases are told as they were."""

import json
import socket
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


@pytest.fixture(scope="module")
def overload(benchmark_module):
    return benchmark_module("overload")


@pytest.fixture(scope="module")
def open_loop(benchmark_module):
    return benchmark_module("open_loop")


@contextmanager
def silent():
    """A port that is listened on and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_requests_are_sent_at_the_rate(benchmark_module, open_loop):
    server = benchmark_module("servers").constant()
    with server.started() as running:
        requests = [server.request(running.port, "who")]
        answers = open_loop.drive(open_loop.Plan(running.port, requests, 300, 1), processes=2)
    assert 200 < len(answers.status) < 400
    assert set(answers.status.tolist()) == {200}
    assert (np.diff(answers.due) >= 0).all()
    assert (answers.seconds > 0).all()
    assert np.isfinite(answers.seconds).all()


def test_what_is_not_answered_or_not_sent_is_told(open_loop):
    with silent() as port:
        plan = open_loop.Plan(port, [b"x"], 50, 1, connections=5, patience=0.1)
        answers = open_loop.drive(plan)
    statuses = answers.status.tolist()
    assert statuses.count(open_loop.SILENT) == 5
    assert statuses.count(open_loop.HELD_BACK) == len(statuses) - 5 > 0


def test_a_connection_that_is_refused_is_told(benchmark_module, open_loop):
    port = benchmark_module("server_process").free_port()
    answers = open_loop.drive(open_loop.Plan(port, [b"x"], 50, 0.5))
    assert set(answers.status.tolist()) == {open_loop.BROKEN}


def test_the_command_tells_three_phases(overload, weather, model_folder):
    app = Typer()
    app.command()(overload.main)
    arguments = [str(model_folder), "--set-folder", str(weather / "trec6"), "--seconds", "1"]
    arguments += ["--calm", "1", "--capacity", "100", "--times", "2", "--texts", "3", "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    before, over, after = document["phases"]
    assert before["name"] == "before"
    assert after["name"] == "after"
    assert over["asked"] > 2 * before["asked"] > 0
    # Twice a capacity that is far below the service's is no overload.
    assert set(over["statuses"]) == {"200"}
    assert over["highest"] >= over["lowest"] > 2**20


@pytest.fixture
def phases(overload, open_loop):
    def phase(name, *counted, memory=(100, 100, 100, 100)):
        status = np.concatenate([np.full(count, each) for each, count, _ in counted])
        seconds = np.concatenate([np.full(count, took) for _, count, took in counted])
        answers = open_loop.Answers(np.arange(len(status)), status * 0.0, seconds, status)
        return overload.summed_up(name, 1, answers, memory)

    return phase


def test_what_was_to_be_shown_is_shown(overload, phases):
    before, after = phases("before", (200, 100, 0.002)), phases("after", (200, 100, 0.0025))
    over = phases("over", (200, 90, 1.0), (504, 10, 1.4), (429, 900, 0.01))
    assert over.statuses == {"200": 90, "429": 900, "504": 10}
    assert over.accepted_p99_ms == pytest.approx(1400)
    assert all(overload.verdicts(before, over, after, 1.0).values())


@pytest.mark.parametrize(
    ("counted", "memory", "failing"),
    [
        ([(200, 90, 1.0), (504, 10, 1.6), (429, 9, 0.01)], (100,) * 4, "accepted within"),
        ([(200, 90, 1.0), (429, 9, 0.06)], (100,) * 4, "refused within"),
        ([(200, 90, 1.0), (429, 9, 0.01), (500, 1, 0.1)], (100,) * 4, "what was sent"),
        ([(200, 90, 1.0), (429, 9, 0.01), (-1, 1, 1.0)], (100,) * 4, "what was sent"),
        ([(200, 90, 1.0), (429, 9, 0.01), (-2, 1, 1.0)], (100,) * 4, "every request was sent"),
        ([(200, 90, 1.0), (429, 9, 0.01)], (100, 110, 120, 130), "memory flat"),
    ],
)
def test_what_was_not_to_be_is_told(overload, phases, counted, memory, failing):
    calm = phases("calm", (200, 100, 0.002))
    shown = overload.verdicts(calm, phases("over", *counted, memory=memory), calm, 1.0)
    assert [what for what, met in shown.items() if not met and not what.startswith(failing)] == []
    assert not all(shown.values())


def test_latency_that_stays_higher_is_told(overload, phases):
    before, after = phases("before", (200, 100, 0.002)), phases("after", (200, 100, 0.02))
    over = phases("over", (200, 90, 1.0), (429, 900, 0.01))
    shown = overload.verdicts(before, over, after, 1.0)
    assert [what for what, met in shown.items() if not met] == ["latency afterwards as before"]


def test_the_page_explains_every_column(overload):
    page = README.read_text(encoding="utf-8")
    own = page[page.index("## Overload") : page.index("## Swaps")]
    for column in overload.HEAD.splitlines()[0].strip("| ").split(" | "):
        assert f"| {column} |" in own
