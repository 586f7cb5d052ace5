"""What the tests of the benchmarks share: a corpus that is learnt in a second, and a runner."""

import csv
import json

import pytest
from typer import Typer
from typer.testing import CliRunner

# Each label has words of its own, and some that both have.
_WORDS = {"warm": ("sun", "beach", "sand"), "cold": ("snow", "ice", "frost")}
_BOTH = ("the", "day", "was", "long")


def _rows(count, offset):
    for number in range(offset, offset + count):
        label = "warm" if number % 3 else "cold"
        own = _WORDS[label][number % 3], _WORDS[label][number // 3 % 3]
        yield f"{_BOTH[number % 4]} {own[0]} {_BOTH[number // 4 % 4]} {own[1]} {number}", label


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with a corpus called `trec6`, for corpora are known by name; about the weather."""
    data = tmp_path_factory.mktemp("data")
    (data / "trec6").mkdir()
    for name, count, offset in (("train", 120, 0), ("test", 30, 1000)):
        with (data / "trec6" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(_rows(count, offset))
    return data


@pytest.fixture(scope="session")
def corpus(data):
    """The folder of that corpus."""
    return data / "trec6"


@pytest.fixture(scope="session")
def run():
    """Runs a benchmark, and gives the JSON that it prints."""

    def run(main, *arguments, code=0):
        app = Typer()
        app.command()(main)
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def error_of():
    """Runs a benchmark that fails, and gives the line that it prints."""

    def error_of(main, *arguments):
        app = Typer()
        app.command()(main)
        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        return result.stderr

    return error_of
