"""The search for a size: fewer bits first, then the cheapest pruning steps."""

import pytest

from gatewise.service.model.model_documents import PRECISIONS
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.mobile import size_search
from gatewise.training.mobile.size_search import SizeError, within
from gatewise.training.mobile.variants import VariantBuilder
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows


@pytest.fixture(scope="module")
def builder(model_folder, languages):
    rows = tuple(read_rows(languages / "validation.csv", bad_rows=StopAtBadRows()))[::4]
    return VariantBuilder(read_model_folder(model_folder), rows)


def steps_to(builder, limit, precision=None):
    """The variants on the way to a size."""
    steps = []
    variant = within(builder, limit, precision, lambda _, variant: steps.append(variant))
    assert steps[-1] is variant
    return steps


def test_the_most_exact_precision_that_fits_is_taken(builder):
    sizes = {precision: builder.variant(precision).size for precision in PRECISIONS}
    assert sizes["int8"] < sizes["fp16"] < sizes["fp32"]
    for precision in PRECISIONS:
        steps = steps_to(builder, sizes[precision])
        assert steps[-1].precision == precision
        assert len(steps) == PRECISIONS.index(precision) + 1


def test_without_a_limit_the_precision_is_int8_or_as_requested(builder):
    assert steps_to(builder, None)[-1].precision == "int8"
    assert [step.precision for step in steps_to(builder, None, "fp16")] == ["fp16"]


def test_an_app_carries_no_training_texts(forward_model_folder):
    loaded = read_model_folder(forward_model_folder)
    assert loaded.config.gatewise.examples
    assert b"examples" not in VariantBuilder(loaded, ()).variant("fp32").config_bytes


def test_int8_is_not_taken_if_it_costs_too_much(builder, monkeypatch):
    accuracies = {"fp32": 0.95, "fp16": 0.95, "int8": 0.94}

    def measured(_, loaded):
        return Report(accuracies[loaded.precision], 0.9, 0.1, 0.1, rows=10, labels=()), None

    monkeypatch.setattr(VariantBuilder, "_measured", measured)
    steps = steps_to(builder, None)
    assert [step.precision for step in steps] == ["fp32", "fp16", "int8", "fp16"]
    assert steps[-1] is steps[1]
    accuracies["int8"] = 0.949
    assert steps_to(builder, None)[-1].precision == "int8"


def test_every_step_is_the_cheapest_and_the_last_fits(builder):
    full = builder.variant("int8")
    limit = int(full.size * 0.7)
    steps = []
    within(builder, limit, None, lambda *step: steps.append(step))
    sizes = [variant.size for _, variant in steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= limit < sizes[-2]
    (_, before), (taken, last) = steps[-2:]
    assert last.report == builder.variant("int8", last.plan).report
    assert last.report.accuracy > full.report.accuracy - 0.05
    search = size_search._PruningSearch(builder, 0, length=0.25)
    costs = {
        what: size_search.cost_per_byte(before, variant) for what, variant in search.steps(before)
    }
    assert len(costs) >= 3
    assert taken == min(costs, key=costs.__getitem__)


def test_without_rows_short_last_steps_come_nearer_to_the_size(builder, monkeypatch):
    unmeasured = VariantBuilder(builder.original, ())
    limits = [int(unmeasured.variant("int8").size * share) for share in (0.8, 0.5)]
    last = [steps_to(unmeasured, limit)[-1] for limit in limits]
    assert [variant.report for variant in last] == [None, None]
    near = [variant.size / limit for variant, limit in zip(last, limits, strict=True)]
    monkeypatch.setattr(size_search, "_MIN_STEP_LENGTH", 1.0)
    full = [steps_to(unmeasured, limit)[-1].size / limit for limit in limits]
    assert max(near) <= 1
    assert sum(near) > sum(full)
    assert min(near) > 0.95


def test_an_impossible_size_is_refused_with_the_smallest_found(builder):
    with pytest.raises(SizeError, match=r"at most 1,000 bytes, but the smallest .* has [\d,]+:"):
        within(VariantBuilder(builder.original, ()), 1000, None, lambda *_: None)
