"""The example of a language model as a teacher: from texts without labels to a served model.

A real model, small as it is, behind a real server; both come from the package index.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "llm_teacher"
TEXTS, ROWS = 40, 30

pytestmark = pytest.mark.usefixtures("has_index")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def demo(tmp_path_factory, free_port):
    """The output of the whole demonstration, on few texts, and its folder."""
    folder = tmp_path_factory.mktemp("llm_teacher")
    ports = {"LLM_PORT": str(free_port()), "PORT": str(free_port())}
    done = subprocess.run(
        [FOLDER / "demo.sh", folder, str(TEXTS), str(ROWS)],
        cwd=FOLDER.parents[1],
        env={
            **os.environ,
            **ports,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder


def test_every_text_gets_a_label_and_probabilities(demo):
    stdout, folder = demo
    assert f"{TEXTS} texts labelled: negative" in stdout
    rows = rows_of(folder / "labelled.csv")
    assert [row["text"] for row in rows] == [row["text"] for row in rows_of(folder / "texts.csv")]
    assert {row["label"] for row in rows} <= {"negative", "positive"}
    # Of the model, not of its answers: those would be 0 and 1.
    assert all(0.001 < float(row["probability_positive"]) < 0.999 for row in rows)


def test_the_model_knows_good_from_bad(demo):
    _, folder = demo
    found = {"negative": [], "positive": []}
    by_llm = rows_of(folder / "test_by_llm.csv")
    for row, answer in zip(rows_of(folder / "test.csv"), by_llm, strict=True):
        assert row["text"] == answer["text"]
        found[row["label"]].append(float(answer["probability_positive"]))
    negative, positive = (sum(shares) / len(shares) for shares in found.values())
    assert positive > negative + 0.05


def test_the_served_model_is_compared_with_the_language_model(demo):
    stdout, _ = demo
    table = stdout.partition(f"{ROWS} test rows")[2].splitlines()[1:]
    names = [re.split(r" {2,}", line)[0] for line in table]
    assert names[1:] == ["the language model", "Gatewise, taught by it and served"]
    for line in table:
        share, low, high = map(float, re.findall(r"(\d+\.\d)%", line))
        assert 0 <= low <= share <= high <= 100
