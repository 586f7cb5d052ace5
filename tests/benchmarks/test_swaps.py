"""Swaps and kills under load: an answer of no whole version shows, and a lost request too."""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ECHO = HERE.parents[1] / "benchmarks" / "serving"
TEXTS = ["Guten Tag", "Good day to you", "Bonjour, comment allez-vous ?"]


@pytest.fixture(scope="module")
def swaps(benchmark_module):
    return benchmark_module("swaps")


@pytest.fixture(scope="module")
def folders(swaps, model_folder, tmp_path_factory):
    second = swaps.changed(model_folder, tmp_path_factory.mktemp("changed") / "second")
    return {"first": model_folder, "second": second}


@pytest.fixture(scope="module")
def judge(benchmark_module, folders):
    truth = benchmark_module("truth")
    return truth.judge_of({name: truth.truth(path, TEXTS) for name, path in folders.items()})


def swapped(benchmark_module, swaps, folders, judge, served, *options, how="call"):
    versions = swaps.Versions(folders, served, "replaced", how)
    versions.place(0)
    script = str(HERE / "stand_in_service.py")
    start = benchmark_module("server_process").running
    environment = {"PYTHONPATH": str(HERE.parents[1])}

    def command(port):
        return [sys.executable, script, served, str(port), *options]

    with start(command, "/health/ready", environment) as server:
        bodies = benchmark_module("bodies")
        asked = [
            bodies.request(server.port, "/predict", bodies.hugging_face(text)) for text in TEXTS
        ]
        return swaps.swapping(versions, server, asked, judge, swaps=3, connections=4)


@pytest.mark.parametrize("how", ["call", "signal"])
def test_whole_versions_are_told_apart(benchmark_module, swaps, folders, judge, tmp_path, how):
    served = tmp_path / swaps.NAME
    result = swapped(benchmark_module, swaps, folders, judge, served, how=how)
    assert set(result.counts) == {"first", "second"}
    assert len(result.seconds) == 3
    assert all(swaps.verdicts(result, None, list(folders)).values())


def test_a_version_that_is_half_taken_shows(benchmark_module, swaps, folders, judge, tmp_path):
    served = tmp_path / swaps.NAME
    result = swapped(benchmark_module, swaps, folders, judge, served, "torn")
    assert result.counts[benchmark_module("truth").MIXED] > 0
    assert not any(swaps.verdicts(result, None, list(folders)).values())


def test_a_service_without_a_reload_is_told(benchmark_module, swaps, folders, tmp_path):
    from process import FailedError

    served = tmp_path / swaps.NAME
    versions = swaps.Versions(folders, served)
    versions.place(0)
    with (
        benchmark_module("servers").echo().started() as server,
        pytest.raises(FailedError, match="/models/model/reload answered 404"),
    ):
        versions.tell(server)


def test_versions_are_put_beside_each_other(swaps, folders, tmp_path):
    versions = swaps.Versions(folders, tmp_path / "model", "beside")
    assert [versions.place(number) for number in range(3)] == ["first", "second", "first"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["1", "2", "3"]


def test_the_changed_model_differs_in_every_label_and_score(benchmark_module, folders):
    first, second = (benchmark_module("truth").truth(path, TEXTS) for path in folders.values())
    for one, other in zip(first, second, strict=True):
        assert not one.keys() & other.keys()
        assert max(one, key=one.get) + ", changed" == max(other, key=other.get)
        assert all(abs(one[label] - other[f"{label}, changed"]) > 1e-5 for label in one)


def test_answers_are_called_what_they_are(benchmark_module, judge, folders):
    import json

    truth = benchmark_module("truth")
    first = truth.truth(folders["first"], TEXTS)

    def body(scores):
        listed = [{"label": label, "score": score} for label, score in scores.items()]
        return json.dumps([listed]).encode()

    assert judge(1, 200, body(first[1])) == "first"
    assert judge(1, 200, body(first[0])) == truth.MIXED
    assert judge(1, 503, b"") == "status 503"
    assert judge(1, None, b"") == truth.LOST


def test_a_killed_worker_loses_its_own_requests_alone(benchmark_module, swaps):
    start = benchmark_module("server_process").running
    kills = benchmark_module("kills")
    bodies = benchmark_module("bodies")
    uvicorn = [sys.executable, "-m", "uvicorn", "echo:app", "--app-dir", str(ECHO)]

    def judge(_, status, __):
        return kills.LOST if status is None else str(status)

    def command(port):
        return [*uvicorn, "--workers", "2", "--port", str(port), "--log-level", "warning"]

    with start(command, "/health/ready") as server:
        asked = [bodies.request(server.port, "/predict", bodies.hugging_face("who"))]
        killed = kills.killing(server, "/health/ready", asked, judge, 8, 0.5)
    assert set(killed.counts) <= {"200", kills.LOST}
    assert 0 < killed.lost <= killed.connected <= 8
    assert killed.replaced_seconds > 0
    assert all(swaps.verdicts(None, killed, ["200"]).values())


def test_workers_that_are_not_there_are_told(benchmark_module):
    from process import FailedError

    server = benchmark_module("servers").echo()
    killing = benchmark_module("kills").killing
    with server.started() as running:
        asked = [server.request(running.port, "who")]
        with pytest.raises(FailedError, match="expected workers with clients"):
            killing(running, server.ready, asked, lambda *_: "any", 2, 0.1)


def test_copies_are_whole(swaps, folders, tmp_path):
    """A version that is put in place is one that loads."""
    from gatewise.service.model.model_folder import read_model_folder

    served = tmp_path / "model"
    shutil.copytree(folders["first"], served)
    swaps.Versions(folders, served).place(1)
    assert read_model_folder(served).config.id2label[0].endswith(", changed")
