import pytest

from gatewise.training.evaluation.share_interval import wilson


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    # As statsmodels' proportion_confint(hits, rows, method="wilson") gives them.
    [(45, 50, 0.786398, 0.956524), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0)],
)
def test_the_bounds_are_wilsons(hits, rows, low, high):
    assert wilson(hits / rows, rows) == pytest.approx((low, high), abs=1e-5)


def test_without_rows_nothing_is_known():
    assert wilson(0.0, 0) == (0, 1)
