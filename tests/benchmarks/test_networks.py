"""The benchmark of every network trains what it says, and its page explains its table."""

import csv
import importlib
import sys
from pathlib import Path

import pytest
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def networks():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("networks")
    finally:
        sys.path.remove(str(FOLDER))


def test_every_cell_direction_and_readout_is_trained_once(networks):
    choices = [tuple(choice) for choice in networks.networks([])]
    assert len(choices) == len(set(choices)) == 3 * 3 * 5
    for choice in choices:
        config.load(assignments=choice)
    assert len(list(networks.networks(["attention"]))) == 9


def test_a_network_is_measured(networks, languages):
    with (languages / "test.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:5]
    small = ["tokens.unit=character", "tokens.max_length=32", "network.buckets=100"]
    row = networks.trained(
        config.load(
            assignments=[
                *small,
                "training.epochs=1",
                "network.units=4",
                "network.cell=lstm",
                "network.readout=attention",
            ]
        ),
        Corpora(languages / "train.csv", test=languages / "test.csv"),
        texts,
    )
    assert row.formula == "2 × 4 × 4 × (4 + 64 + 1)"
    assert row.recurrent == 2 * 4 * 4 * (4 + 64 + 1)
    # 32-bit floats, and a graph of a few nodes.
    assert 4 * row.parameters < row.model_bytes < 4 * row.parameters + 20_000
    assert 0 <= row.accuracy <= 1
    assert row.median_ms > 0
    line = networks.in_markdown(row)
    head, under = networks.HEAD.splitlines()
    assert line.count("|") == head.count("|") == under.count("|")


def test_the_page_explains_every_column(networks):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Every network") :]
    for column in networks.HEAD.splitlines()[0].strip("| ").split(" | "):
        assert column in own.replace("read-outs", "read-out")
