"""The benchmark times every precision in the runtimes that are there, once they agree."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

pytest.importorskip("tf2onnx")

FOLDER = Path(__file__).parents[2] / "benchmarks"
PRECISIONS = ["fp32", "fp16", "int8"]
IN_PYTHON = {
    "the default network": {
        "Python onnxruntime": PRECISIONS,
        "Gatewise, from the string": PRECISIONS,
        "Keras's own ONNX export": ["fp32"],
    },
    "embedding, recurrent layer, dense layer": {
        "Python onnxruntime": PRECISIONS,
        "Keras's own ONNX export": ["fp32"],
    },
}


@pytest.fixture(scope="module")
def modules():
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("precisions", "precision_ways", "subjects", "turns", "in_node", "answers")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def run(modules):
    """What the command prints as JSON, with the runtimes that are there."""
    app = Typer()
    app.command()(modules.precisions.main)

    def run(*arguments):
        few = ["--tokens", "9", "--repeats", "1", "--calls", "1", "--json"]
        result = CliRunner().invoke(app, [*few, *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="module")
def everywhere(run):
    """What was measured in every runtime."""
    return run()


@pytest.fixture(scope="module")
def of_gru(run, tmp_path_factory):
    """What was measured of the other cell, without JavaScript."""
    return run("--cell", "gru", "--node-modules", str(tmp_path_factory.mktemp("empty")))


@pytest.fixture(params=["everywhere", "of_gru"])
def measured(request):
    return request.getfixturevalue(request.param)


def found(measured):
    """The precisions of each way of each network."""
    names = {}
    for row in measured["rows"]:
        names.setdefault(row["network"], {}).setdefault(row["name"], []).append(row["precision"])
    return names


def test_python_times_every_precision(measured):
    for network, ways in IN_PYTHON.items():
        assert {name: found(measured)[network].get(name) for name in ways} == ways


@pytest.mark.parametrize(
    ("runtime", "engine", "library"),
    [
        ("Node", "onnxruntime-node", "Transformers.js in Node, from the string"),
        (
            "Chromium",
            "onnxruntime-web in Chromium",
            "Transformers.js in Chromium, from the string",
        ),
    ],
)
def test_javascript_times_every_precision(modules, everywhere, runtime, engine, library):
    if reason := modules.precision_ways.missing(modules.in_node.NODE_MODULES).get(runtime):
        pytest.skip(reason)
    default, plain = found(everywhere).values()
    assert default[engine] == default[library] == plain[engine] == PRECISIONS


def test_pytorch_has_the_same_weights(measured):
    pytest.importorskip("torch")
    _, plain = found(measured).values()
    assert plain["PyTorch"] == ["fp32", "dynamic int8"]


def test_what_is_told_of_a_way(measured):
    first = {}
    for row in measured["rows"]:
        reference = first.setdefault(row["network"], row)
        for times in (row["one_ms"], row["many_ms"]):
            assert 0 < times[0] <= times[1] <= times[2]
        assert row["one_ratio"] == pytest.approx(row["one_ms"][1] / reference["one_ms"][1])
        if row["precision"] == "fp32":
            assert row["difference"] <= 1e-5
        elif row["precision"] == "dynamic int8":
            assert 0 < row["difference"] < 1
        else:
            assert 0 < row["difference"] < 0.1
            assert row["others"] == 0


@pytest.fixture
def way(modules):
    """Makes a way that answers what it is told to, and takes no time."""

    def make(logits, name="one", precision="fp32"):
        return modules.precision_ways.Way(
            "a network", name, precision, lambda calls: [2.0] * calls, lambda: np.array(logits)
        )

    return make


def test_scores_are_compared_with_logits(modules, way):
    logits = np.array([[1.0, 3.0, -2.0]])
    scores = np.exp(logits) / np.exp(logits).sum()
    apart = modules.precisions.differences([way(logits), way(np.log(scores)), way(logits + 5)])
    assert apart == [(0, 0), (pytest.approx(0, abs=1e-12), 0), (pytest.approx(0, abs=1e-12), 0)]


@pytest.mark.parametrize(
    ("other", "precision", "message"),
    [
        ([[1.0, 2.001]], "fp32", "within 1e-05"),
        ([[1.0, float("nan")]], "fp32", "no numbers"),
        ([[1.0, float("inf")]], "int8", "no numbers"),
        ([[2.0, 1.0]], "fp16", "1 others for 1 texts"),
    ],
)
def test_another_answer_is_an_error(modules, way, other, precision, message):
    ways = [way([[1.0, 2.0]]), way(other, "other", precision)]
    with pytest.raises(modules.precisions.DisagreementError, match=message) as raised:
        modules.precisions.differences(ways)
    assert f"a network: other, {precision}: " in str(raised.value)


def test_other_labels_of_dynamic_integers_are_told(modules, way):
    ways = [way([[1.0, 2.0]]), way([[2.0, 1.0]], "other", "dynamic int8")]
    ((_, none), (apart, others)) = modules.precisions.differences(ways)
    assert (none, others) == (0, 1)
    assert apart == pytest.approx(1)


def test_rows_are_medians_and_ratios_to_the_first_way(modules, way):
    rounds = iter([[4.0], [1.0], [2.0], [9.0]])
    slow = replace(way([[1.0, 2.0]], "slow"), times=lambda _: next(rounds))
    first = way([[1.0, 2.0]])
    rows = modules.precisions.measure([first, slow], [first, slow], 2, 1)
    assert rows[0].one_ratio == rows[0].many_ratio == 1
    assert rows[1].one_ms == (2.5, 3.0, 3.5)
    assert rows[1].one_ratio == 1.5
    line = modules.precisions.in_markdown(rows[1])
    head, under = modules.precisions.HEAD.splitlines()
    assert line.count("|") == head.count("|") == under.count("|")


def test_a_runtime_that_ends_is_an_error(modules, tmp_path):
    if reason := modules.in_node.missing(modules.in_node.NODE_MODULES):
        pytest.skip(reason)
    with (
        modules.in_node.held(tmp_path) as tell,
        pytest.raises(modules.answers.RuntimeFailedError, match="told network"),
    ):
        tell({"what": "network", "file": "none.onnx", "ids": [[1]]})


def test_the_readme_explains_every_row(modules):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Latency of every precision") : page.index("## Every network")]
    ways = modules.precision_ways
    for name in (*ways.ENGINES.values(), *ways.FROM_STRINGS.values(), "PyTorch", ways.DYNAMIC):
        assert f"| {name} |" in own
    for column in modules.precisions.HEAD.splitlines()[0].strip("| ").split(" | "):
        assert column in own
