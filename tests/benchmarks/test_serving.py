"""The benchmark starts real servers, checks what they answer, and says what it measured."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

README = Path(__file__).parents[2] / "benchmarks" / "README.md"
BODIES = [b'{"inputs": "Guten Tag"}', b'{"inputs": "a second one"}']

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@pytest.fixture(scope="module")
def serving(benchmark_module):
    return benchmark_module("serving")


@pytest.fixture(scope="module")
def servers(benchmark_module):
    return benchmark_module("servers")


@pytest.fixture(scope="module")
def service(servers, model_folder):
    """The service, running, and what it is."""
    server = servers.gatewise(model_folder)
    with server.started() as running:
        yield server, running


@needs_wrk
def test_the_command_measures_every_server(serving, weather, model_folder):
    app = Typer()
    app.command()(serving.main)
    arguments = [str(model_folder), "--data", str(weather), "--sets", "trec6", "--rounds", "1"]
    arguments += ["--seconds", "1", "--connections", "1,4", "--json"]
    for name in ("Gatewise", "FastAPI echo"):
        arguments += ["--only", name]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [server["name"] for server in document["servers"]] == ["FastAPI echo", "Gatewise"]
    for server in document["servers"]:
        assert 0 < server["ready_seconds"] < 60
        assert server["idle"]["pss"] > 2**20
        for load in server["loads"]:
            assert load["rate"] > 0
            assert load["answers"] > 0
            assert load["refused"] == load["failed"] == 0
            assert 0 < load["p50_ms"] <= load["p99_ms"]
            assert load["processor_ms"] >= 0


def test_a_peer_that_is_not_installed_is_told(serving, servers, model_folder, tmp_path):
    pythons = dict.fromkeys(("BentoML", "Ray Serve", "MLServer"), tmp_path / "python")
    found, missing = serving.chosen(model_folder, pythons, None)
    assert [server.name for server in found] == ["constant bytes", "FastAPI echo", "Gatewise"]
    assert missing == [f"{name} is left out: there is no {tmp_path / 'python'}" for name in pythons]


def test_an_answer_that_is_not_the_models_ends_the_run(
    serving, benchmark_module, service, model_folder
):
    from process import FailedError

    server, running = service
    texts = ["Guten Tag", "Good day to you"]
    expected = benchmark_module("truth").truth(model_folder, texts)
    serving.check(server, running.port, texts, expected)
    with pytest.raises(FailedError, match="Gatewise said"):
        serving.check(server, running.port, texts, expected[::-1])
    with pytest.raises(FailedError, match="Gatewise answered 422 for ''"):
        serving.check(server, running.port, [""], expected[:1])


@needs_wrk
def test_every_refusal_is_counted(benchmark_module, service):
    wrk, bodies = benchmark_module("wrk"), benchmark_module("bodies")
    _, running = service
    good = bodies.request(running.port, "/predict", BODIES[0])
    bad = bodies.request(running.port, "/predict", b"{")
    load = wrk.drive(running.port, [good], 2, 1)
    assert load.answers > 0
    assert load.refused == load.failed == 0
    load = wrk.drive(running.port, [good, bad], 2, 1)
    assert abs(load.refused - load.answers / 2) <= 2


def test_a_server_that_does_not_start_is_told_by_what_it_said(servers, tmp_path):
    from process import FailedError

    with (
        pytest.raises(FailedError, match=r"ended; it said: .*the path does not exist"),
        servers.gatewise(tmp_path / "nothing").started(),
    ):
        pass


def test_a_server_is_stopped_with_all_that_it_has_started(benchmark_module):
    import sys

    process_tree = benchmark_module("process_tree")
    start = benchmark_module("server_process").running
    script = (
        "import subprocess, sys, http.server as h;"
        "subprocess.Popen(['sleep', '1000']);"
        "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    with start(lambda port: [sys.executable, "-c", script, str(port)], "/") as running:
        (child,) = process_tree.children(running.pid)
        held = process_tree.held(running.pid)
        assert held.processes == 2
        assert held.rss >= held.pss > 0
        assert held.descriptors > 2
        assert held.threads >= 2
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()


def test_the_shapes_of_the_peers_are_read(benchmark_module):
    bodies = benchmark_module("bodies")
    truth = {"ham": 0.75, "spam": 0.25}
    listed = [{"label": label, "score": score} for label, score in truth.items()]
    assert bodies.LISTED.scores(json.dumps([listed]).encode()) == truth
    assert bodies.HUGGING_FACE.scores(json.dumps(listed).encode()) == truth
    tensors = [
        {"name": "labels", "data": list(truth)},
        {"name": "scores", "data": list(truth.values())},
    ]
    assert bodies.V2.scores(json.dumps({"outputs": tensors}).encode()) == truth
    assert json.loads(bodies.LISTED.body("é")) == {"inputs": ["é"]}
    assert json.loads(bodies.V2.body("é"))["inputs"][0]["data"] == ["é"]


@pytest.fixture
def rows(benchmark_module):
    tables = benchmark_module("serving_tables")
    held = benchmark_module("process_tree").Held(0.0, 1, 3 * 2**20, 2 * 2**20, 9, 4)
    load = benchmark_module("wrk").Load(2000.0, 1.5, 12.0, 6000, 0, 0)
    slow = dataclasses.replace(load, rate=500.0, p99_ms=40.0, refused=3, failed=1)
    return [
        tables.Row("Gatewise", 0.5, held, held, {("trec6", 32): tables.Served(load, 0.25, True)}),
        tables.Row("BentoML", 2.5, held, held, {("trec6", 32): tables.Served(slow, 1.0, True)}),
    ]


def test_rounds_are_summed_up(serving, benchmark_module, rows):
    tables = benchmark_module("serving_tables")
    place = ("trec6", 32)
    rounds = [
        tables.Round(row.ready_seconds, row.idle, row.loaded, {place: row.loads[place]})
        for row in (*rows, rows[0])
    ]
    row = serving.summed_up("Gatewise", rounds)
    assert row.ready_seconds == 0.5
    assert row.loads[place].load.rate == 2000.0
    assert row.loads[place].load.answers == 18_000
    assert row.loads[place].load.refused == 3


def test_tables_tell_rates_and_trouble(benchmark_module, rows):
    tables = benchmark_module("serving_tables")
    assert "| Gatewise | 2,000 |" in tables.rates(rows, "trec6", [32])
    assert "| BentoML | 1.50 / 40 |" in tables.latencies(rows, "trec6", [32])
    assert "| Gatewise | 0.250 |" in tables.costs(rows, "trec6", [32])
    assert "| Gatewise | 0.50 | 2 | 2 | 3 | 1 | 4 |" in tables.holdings(rows)
    assert "4.00 times the rate of BentoML" in tables.told(rows, "trec6", 32)
    unsettled = dataclasses.replace(rows[1].loads["trec6", 32], settled=False)
    slow = dataclasses.replace(rows[1], loads={("trec6", 32): unsettled})
    assert "| BentoML | – |" in tables.latencies([slow], "trec6", [32])
    trouble = tables.trouble(rows)
    assert "BentoML, trec6, 32 connections: of 6,000 answers 3 had" in trouble
    assert "1 requests were not answered" in trouble
    assert "Gatewise" not in trouble
    assert "none with a status" in tables.trouble(rows[:1])


def test_the_page_explains_every_server_and_table(benchmark_module, rows, servers):
    tables = benchmark_module("serving_tables")
    page = README.read_text(encoding="utf-8")
    own = page[page.index("## Serving") : page.index("## Overload")]
    names = (servers.CONSTANT, servers.ECHO, servers.GATEWISE)
    for name in (*names, servers.BENTOML, servers.RAY, servers.MLSERVER):
        assert f"| {name} |" in own
    for column in tables.holdings(rows).splitlines()[0].strip("| ").split(" | "):
        assert column in own
