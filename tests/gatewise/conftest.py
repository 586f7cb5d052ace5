"""What the tests of the command share: the command in a process of its own."""

import subprocess
import sys

import pytest

import gatewise as package

SCRIPT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv = ["gatewise", *{arguments!r}]
from gatewise.cli import main
main()
"""


@pytest.fixture(scope="session", autouse=True)
def _briefly_timed(briefly_timed):
    """Every training of these tests is in a process with short measurements."""


@pytest.fixture(scope="session")
def process():
    """Runs `gatewise` as a process: for signals, for streams, and for what is imported."""

    def run(*arguments, stdin=b"", missing=(), **options):
        script = SCRIPT.format(missing=list(missing), arguments=list(map(str, arguments)))
        command = [sys.executable, "-c", script]
        ended = subprocess.run(command, input=stdin, capture_output=True, check=False, **options)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return run


@pytest.fixture(scope="session")
def reviews():
    """Short texts of two labels, as lists of texts and labels."""
    words = {"good": ["fine", "great", "happy", "nice"], "bad": ["awful", "poor", "sad", "wrong"]}
    rows = [
        (f"{word} {thing} {number}", label)
        for number in range(3)
        for label, those in words.items()
        for word in those
        for thing in ("film", "book", "song", "play")
    ]
    return [text for text, _ in rows], [label for _, label in rows]


@pytest.fixture(scope="session")
def fast_settings():
    """Settings, as keywords, that train in seconds."""
    return {
        "tokens": {"unit": "word", "max_length": 16},
        "network": {"units": 4, "embedding_size": 4, "buckets": 100, "spelling": []},
        "epochs": 2,
        "refit": False,
    }


@pytest.fixture(scope="session")
def reviewer(reviews, fast_settings):
    """A model of these texts, trained in memory. Not to be changed by a test."""
    return package.train(*reviews, **fast_settings)
