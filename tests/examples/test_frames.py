"""The examples for pandas and Spark give the labels of the classifier."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.service.model.classifier import Classifier

EXAMPLES = Path(__file__).parents[2] / "examples" / "frames"
TEXTS = ["Wo ist der Bahnhof?", "where is the station", "où est la gare ?", "駅はどこですか"] * 50


def run(script, *arguments):
    paths = os.pathsep.join(filter(None, [str(EXAMPLES.parents[1]), os.environ.get("PYTHONPATH")]))
    # Spark's workers run this Python and listen on the loopback interface only.
    python = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        env=os.environ | python | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def expected(model_folder):
    classifier = Classifier.load(model_folder)
    best = classifier.predict_proba(TEXTS).max(axis=1).tolist()
    return list(zip(classifier.predict(TEXTS), best, strict=True))


def test_a_frame_of_pandas(model_folder, tmp_path):
    pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    run("in_pandas.py", model_folder, tmp_path / "in.csv", tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    assert list(frame["id"]) == list(range(len(TEXTS)))
    found = list(
        zip(
            frame["predicted_label"],
            frame["predicted_score"].astype("float32").tolist(),
            strict=True,
        )
    )
    assert found == expected(model_folder)


@pytest.mark.spark
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_a_frame_of_spark(model_folder, tmp_path):
    (tmp_path / "in").mkdir()
    for part in range(4):
        rows = range(part * 50, part * 50 + 50)
        table = pa.table({"id": list(rows), "text": [TEXTS[row] for row in rows]})
        pq.write_table(table, tmp_path / "in" / f"{part}.parquet")
    run("in_spark.py", model_folder, tmp_path / "in", tmp_path / "out")
    table = pq.read_table(tmp_path / "out").sort_by("id")
    assert table["id"].to_pylist() == list(range(len(TEXTS)))
    found = list(
        zip(table["predicted_label"].to_pylist(), table["predicted_score"].to_pylist(), strict=True)
    )
    assert found == expected(model_folder)
