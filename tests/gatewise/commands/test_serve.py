"""`gatewise serve`: which options go together, checked before anything is loaded or started."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--engine ray --workers 2", "--workers has no effect with --engine ray"),
        ("--replicas 2", "--replicas has no effect without --engine ray"),
        ("--max-replicas 2", "--max-replicas has no effect without --engine ray"),
        ("--address 10.0.0.1:6379", "--address has no effect without --engine ray"),
        (
            "--engine ray --replicas 2 --max-replicas 3",
            "--max-replicas has no effect together with",
        ),
        ("--engine ray --min-replicas 2", "expected --max-replicas too"),
        ("--engine ray --min-replicas 3 --max-replicas 2", "expected at least --min-replicas 3"),
        ("--engine ray --replicas 0", "greater than or equal to 1"),
        ("--engine dask", "'dask' is not one of 'local', 'ray'"),
    ],
)
def test_wrong_usage(gatewise, arguments, reason):
    ended = gatewise("serve", "nowhere", *arguments.split())
    assert (ended.code, ended.stdout) == (2, "")
    assert reason in " ".join(ended.stderr.split())


def test_a_model_is_an_argument_or_a_variable(gatewise, monkeypatch):
    monkeypatch.delenv("GATEWISE_MODEL", raising=False)
    ended = gatewise("serve")
    assert (ended.code, ended.stdout) == (2, "")
    assert "expected a MODEL, here or in GATEWISE_MODEL" in " ".join(ended.stderr.split())
    monkeypatch.setenv("GATEWISE_MODEL", "spam=nowhere/spam:topics=nowhere/topics")
    ended = gatewise("serve")
    assert ended.code == 1
    assert "nowhere/spam" in ended.stderr


def test_usage_is_checked_without_the_model_and_ray(process):
    arguments = ("nowhere", "--engine", "ray", "--workers", "2")
    code, _, stderr = process("serve", *arguments, missing=["ray", "gatewise.service"])
    assert code == 2
    assert "--workers has no effect with --engine ray" in " ".join(stderr.split())


def test_missing_ray_names_its_extra(process, tmp_path):
    missing = ["ray", "fastapi", "pydantic_settings", "uvicorn"]
    code, stdout, stderr = process("serve", tmp_path, "--engine", "ray", missing=missing)
    assert (code, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert "the package 'ray'" in line
    assert "pip install 'gatewise[cluster]'" in line


def test_the_model_is_checked_before_a_cluster_is_started(process, tmp_path):
    code, stdout, stderr = process("serve", tmp_path / "none", "--engine", "ray", "--replicas", "2")
    assert (code, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert str(tmp_path / "none") in line


def test_workers_by_their_variable_are_refused(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWISE_WORKERS", "2")
    assert refused("serve", tmp_path, "--engine", "ray") == (
        "GATEWISE_WORKERS is 2: expected 1 on Ray, where every replica is a process"
    )
