"""The soak asks for everything, counts every answer, and tells growth from noise."""

import json

import pytest
from typer import Typer
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def soak(benchmark_module):
    return benchmark_module("soak")


def held(benchmark_module, **figures):
    """Looks at a service once a second, some of whose figures change."""
    entry = benchmark_module("process_tree").Held
    steady = {"processes": 1, "rss": 200, "pss": 100, "descriptors": 20, "threads": 6}
    return [
        entry(float(second), **{**steady, **{name: of(second) for name, of in figures.items()}})
        for second in range(61)
    ]


def test_growth_is_a_slope_and_two_thirds(benchmark_module, soak):
    grown = soak.growth(held(benchmark_module, pss=lambda second: 100 + second), "pss")
    assert grown.slope == pytest.approx(60)
    assert grown.last > grown.first > 112  # the first fifth does not count
    assert soak.growth(held(benchmark_module), "pss") == soak.Growth(100, 100, 0)


@pytest.mark.parametrize("name", ["pss", "descriptors", "threads"])
def test_what_grows_is_told(benchmark_module, soak, name):
    looks = held(benchmark_module, **{name: lambda second: 100 + second})
    growths = {each: soak.growth(looks, each) for each in ("pss", "descriptors", "threads")}
    shown = soak.verdicts({}, [], growths)
    failing = [what for what, met in shown.items() if not met]
    assert failing == [f"no growth of {'memory' if name == 'pss' else name}"]


@pytest.mark.parametrize(
    ("kind", "status", "failing"),
    [
        ("one text", "200", []),
        ("one text", "503", ["no status of 500 or more, no broken connection", "as expected"]),
        ("one text", "broken", ["no status of 500 or more, no broken connection", "as expected"]),
        ("no JSON", "200", ["as expected"]),
    ],
)
def test_answers_that_should_not_be_are_told(benchmark_module, soak, kind, status, failing):
    asked = benchmark_module("mixture").kinds(1, "model", ["a text"])
    counts = {each.name: {} for each in asked} | {kind: {status: 1}}
    looks = held(benchmark_module)
    growths = {each: soak.growth(looks, each) for each in ("pss", "descriptors", "threads")}
    shown = soak.verdicts(counts, asked, growths)
    found = [what for what, met in shown.items() if not met]
    assert len(found) == len(failing)
    assert all(what.endswith(part) for what, part in zip(found, failing, strict=True))


def test_the_command_counts_every_answer(soak, weather, model_folder):
    app = Typer()
    app.command()(soak.main)
    arguments = [str(model_folder), "--set-folder", str(weather / "trec6"), "--minutes", "0.05"]
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    counts = document["counts"]
    assert set(counts["one text"]) == set(counts["several texts"]) == {"200"}
    assert set(counts["no JSON"]) == {"400"}
    assert set(counts["wrong shape"]) == {"422"}
    assert set(counts["gone before the answer"]) == {"gone"}
    assert document["verdicts"]["no status of 500 or more, no broken connection"]
    assert len(document["held"]) > 5
