"""The latency benchmarks time the same work in every way."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tf2onnx")

from benchmarks.latency import latency, runtimes
from benchmarks.lib.command import BenchmarkError


def test_one_text_is_timed(run):
    document = run(latency.main, "--rounds", 1, "--tokens", 9, "--cell", "gru")
    rows = {row["what"]: row for row in document["latency"]}
    assert list(rows)[:4] == [
        latency.GATEWISE,
        "Gatewise, from the string",
        latency.EXPORT,
        latency.PREDICT,
    ]
    assert rows[latency.GATEWISE]["in loops"] == 0 < rows[latency.EXPORT]["in loops"]
    for row in rows.values():
        assert 0 < row["lower quartile"] <= row["ms"] <= row["upper quartile"]
        assert row["ratio"] == pytest.approx(row["ms"] / rows[latency.GATEWISE]["ms"])
        assert row["logits differ by"] <= 1e-5


def test_every_precision_is_timed(run, tmp_path):
    few = ["--tokens", 9, "--rounds", 1, "--calls", 1, "--node-modules", tmp_path]
    rows = run(runtimes.main, *few)["runtimes"]
    assert [(row["what"], row["precision"]) for row in rows] == [
        (what, precision)
        for precision in ("fp32", "fp16", "int8")
        for what in ("Python onnxruntime", "Gatewise, from the string")
    ]
    assert all(row["one text, ms"] > 0 for row in rows)
    assert all(row["logits differ by"] <= 1e-5 for row in rows if row["precision"] == "fp32")


def test_other_answers_are_an_error():
    def candidate(*logits, precision="fp32"):
        answer = np.array([logits])
        return latency.Candidate("one", lambda calls: [1.0] * calls, lambda: answer, precision)

    first = candidate(1.0, 3.0)
    # Scores are compared as logarithms, which differ from logits by a constant.
    assert latency.differences([first, candidate(6.0, 8.0)])[1] == pytest.approx(0, abs=1e-12)
    assert latency.differences([first, candidate(1.0, 3.1, precision="int8")])[1] > 0.01
    for other in (
        candidate(1.0, 3.1),
        candidate(3.0, 1.0, precision="int8"),
        replace(first, logits=lambda: np.array([[np.nan, 1.0]])),
    ):
        with pytest.raises(BenchmarkError, match="one, "):
            latency.differences([first, other])
