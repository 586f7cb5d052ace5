"""The benchmark of growth measures the points that it says, and draws them."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALL = ("network.units=4", "network.embedding_size=4", "network.buckets=100")


@pytest.fixture(scope="module")
def growth():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("growth")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def point(growth):
    return growth.Point(
        rows=200, tokens=6, vocab=50, classes=3, settings=SMALL, windows=2, seconds=0.01
    )


@pytest.fixture(scope="module")
def measured(growth, point):
    return growth.measure("rows", point, patience=600)


def test_one_thing_grows_at_a_time(growth):
    for axis, point in growth.points(growth.BASE, growth.AXES):
        for other in growth.AXES:
            if other != axis:
                assert getattr(point, other) == getattr(growth.BASE, other)
    assert all(getattr(growth.BASE, axis) in sizes for axis, sizes in growth.AXES.items())


def test_texts_are_as_the_point_says(point):
    from growth_point import windows_of

    ((ids, labels),) = windows_of(point, np.random.default_rng(1))
    together = np.concatenate(ids)
    assert len(ids) == len(labels) == point.rows
    assert {len(text) for text in ids} == set(range(3, 10))
    assert (together.min(), together.max()) == (3, point.vocab - 1)
    assert set(labels.tolist()) == set(range(point.classes))
    # A word's frequency falls with its rank.
    counts = np.bincount(together)
    assert counts[3] > counts[6] > counts[40]


def test_a_point_is_measured(growth, measured):
    cost = measured.cost
    assert cost is not None, measured.why
    assert cost.texts > 0
    assert cost.processor_ms > 0
    assert cost.peak_mib > 100
    assert cost.parameters > 50 * 4
    head, under = growth.HEAD.splitlines()
    assert growth.in_markdown(measured).count("|") == head.count("|") == under.count("|")


def test_a_network_that_is_refused_is_a_row(growth, point):
    refused = growth.measure("classes", replace(point, classes=10_000_000), patience=600)
    assert refused.cost is None
    assert "the network would take" in refused.why
    assert growth.in_markdown(refused).count("|") == growth.HEAD.splitlines()[0].count("|")


def test_a_point_that_takes_too_long_is_a_row(growth, point):
    assert growth.measure("rows", point, patience=0.01).why.startswith("not done after")


def test_the_command_draws(growth, measured, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "measure", lambda axis, point, _: replace(measured, axis=axis))
    app = Typer()
    app.command()(growth.main)
    plot = tmp_path / "growth.svg"
    shown = CliRunner().invoke(app, ["--plot", str(plot)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert shown.stdout.count("\n| ") == 1 + sum(map(len, growth.AXES.values()))
    assert "<svg" in plot.read_text(encoding="utf-8")
    result = CliRunner().invoke(app, ["--json", "--only", "rows"], catch_exceptions=False)
    assert len(json.loads(result.stdout)["points"]) == len(growth.AXES["rows"])


def test_an_axis_that_does_not_exist_is_an_error(growth):
    app = Typer()
    app.command()(growth.main)
    assert CliRunner().invoke(app, ["--only", "labels"]).exit_code == 2


def test_the_page_explains_every_column(growth):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Growth") :]
    for column in growth.HEAD.splitlines()[0].strip("| ").split(" | "):
        assert column in own
