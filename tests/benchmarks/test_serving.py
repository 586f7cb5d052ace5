"""The serving benchmarks start real servers, check what they answer, and report what they see."""

import json
import shutil
import socket

import pytest

from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.request_formats import expected_scores
from benchmarks.lib.server_process import free_port
from benchmarks.serving import (
    explaining,
    open_loop,
    overload,
    servers,
    soak,
    swaps,
    throughput,
)
from benchmarks.serving.closed_loop import LOST, MIXED, judge_versions
from benchmarks.serving.open_loop import Plan

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
TEXTS = ["Guten Tag", "Good day to you"]


@pytest.fixture(scope="module")
def service(model_folder):
    """The service, running, and what it is."""
    server = servers.gatewise(model_folder)
    with server.started() as running:
        yield server, running


@needs_wrk
def test_throughput_is_measured(run, data, model_folder):
    few = ["--corpora", "trec6", "--rounds", 1, "--seconds", 1, "--connections", "1,4"]
    only = ["--only", "Gatewise", "--only", "FastAPI echo"]
    document = run(throughput.main, model_folder, "--data", data, *few, *only)
    rows = document["trec6"]
    assert [(row["server"], row["connections"]) for row in rows] == [
        (server, count) for count in (1, 4) for server in ("FastAPI echo", "Gatewise")
    ]
    for row in rows:
        assert row["requests/s"] > 0
        assert 0 < row["p50, ms"] <= row["p99, ms"]
        assert row["status of 400 or more"] == row["not answered"] == 0
    assert all(row["PSS, MiB"] > 1 and row["ready, s"] > 0 for row in document["usage"])


def test_a_peer_that_is_not_installed_is_left_out(model_folder, tmp_path, capsys):
    found = throughput.choose(model_folder, tmp_path, None)
    assert [server.name for server in found] == ["constant bytes", "FastAPI echo", "Gatewise"]
    reported = capsys.readouterr().err
    for name in ("BentoML", "Ray Serve", "MLServer"):
        assert f"{name} is left out: there is no {tmp_path}" in reported


def test_an_answer_that_is_not_the_models_ends_the_run(service, model_folder):
    server, running = service
    expected = expected_scores(model_folder, TEXTS)
    throughput.check(server, running.port, TEXTS, expected)
    with pytest.raises(BenchmarkError, match="Gatewise, 'Guten Tag': expected"):
        throughput.check(server, running.port, TEXTS, expected[::-1])
    with pytest.raises(BenchmarkError, match="Gatewise answered 422 for ''"):
        throughput.check(server, running.port, [""], expected[:1])


def test_requests_without_an_answer_are_reported():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plan = Plan(silent.getsockname()[1], [b"x"], 50, 1, connections=5)
        statuses = open_loop.drive(plan).status.tolist()
    assert statuses.count(open_loop.NO_ANSWER) == 5
    assert statuses.count(open_loop.NOT_SENT) == len(statuses) - 5 > 0
    refused = open_loop.drive(Plan(free_port(), [b"x"], 50, 0.5))
    assert set(refused.status.tolist()) == {open_loop.BROKEN}


def test_an_overload_has_three_phases(run, corpus, model_folder):
    few = ["--seconds", 1, "--calm", 1, "--capacity", 100, "--times", 2, "--texts", 3]
    document = run(overload.main, model_folder, "--corpus", corpus, *few)
    before, over, after = document["phases"]
    assert (before["phase"], after["phase"]) == ("before", "after")
    assert over["sent/s"] > 2 * before["sent/s"] > 0
    # Twice a capacity that is far below the service's is no overload.
    assert over["statuses"].startswith("200: ")
    assert over["most PSS, MiB"] >= over["least PSS, MiB"] > 1


@pytest.mark.parametrize("options", [("call", "replaced"), ("signal", "numbered")])
def test_swaps_lose_no_request(run, corpus, model_folder, options):
    few = ["--swaps", 2, "--connections", 2, "--by", options[0], "--layout", options[1]]
    document = run(swaps.main, model_folder, "--corpus", corpus, *few)
    assert {row["version"] for row in document["answers"]} == {"first", "second"}
    assert document["slowest swap, s"] > 0
    assert all(document["verdicts"].values())


def test_answers_are_judged_by_the_version_that_they_are_of():
    first, second = [{"a": 0.9}, {"a": 0.1}], [{"b": 0.9}, {"b": 0.1}]
    judge = judge_versions({"first": first, "second": second})

    def body(scores):
        return json.dumps([[{"label": name, "score": x} for name, x in scores.items()]]).encode()

    assert judge(1, 200, body(first[1])) == "first"
    assert judge(0, 200, body(second[0])) == "second"
    assert judge(1, 200, body(first[0])) == MIXED
    assert judge(1, 503, b"") == "status 503"
    assert judge(1, None, b"") == LOST


def test_a_soak_counts_every_answer(run, corpus, model_folder):
    document = run(soak.main, model_folder, "--corpus", corpus, "--minutes", 0.05)
    statuses = {}
    for row in document["answers"]:
        statuses.setdefault(row["request"], set()).add(row["status"])
    assert statuses["one text"] == statuses["several texts"] == {"200"}
    assert statuses["no JSON"] == {"400"}
    assert statuses["wrong shape"] == {"422"}
    assert statuses["disconnected before the answer"] == {"disconnected"}
    assert document["verdicts"]["no status of 500 or more, no broken connection"]


def test_explanations_are_timed(run, model_folder, tmp_path, error_of):
    corpus = tmp_path / "texts.csv"
    long = " ".join(["who was it that came"] * 12)
    corpus.write_text("\n".join(["text", "who came", long, "who was it", "who else came"]) + "\n")
    few = ["--lengths", "20,400", "--texts", 2, "--rounds", 2]
    short, longer = run(explaining.main, model_folder, corpus, *few)["explaining"]
    assert (short["texts"], longer["texts"]) == (2, 1)
    assert short["tokens"] <= 20 < longer["tokens"]
    assert min(short.values()) > 0
    assert "nothing.csv" in error_of(explaining.main, model_folder, tmp_path / "nothing.csv")
