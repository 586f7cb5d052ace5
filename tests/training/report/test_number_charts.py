"""The charts of predicted numbers, of any size and spread."""

import pytest

from gatewise.training.report.number_charts import predicted, residuals


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 2.0), (2.0, 2.5), (3.0, 2.0)],
        [(0.0, 0.0), (0.0, 0.0)],
        [(5.0, 5.0)],
        [(0.0, 1e17), (0.0, 1e17)],
        [(0.0, 1e17), (0.0, 1e17 + 16)],
        [(-1e30, 1e30), (1e30, -1e30), (1.0, 1.0)],
        [(0.0, 1e-30), (0.0, 2e-30)],
    ],
    ids=str,
)
def test_a_chart_is_drawn_of_any_numbers(points):
    assert f"{len(points)} rows: true numbers from" in predicted(points)
    assert "Rows by their error" in residuals(points)
