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
    steps = []
    variant = within(builder, limit, precision, steps.append)
    assert steps[-1].variant is variant
    return steps


def test_the_most_exact_precision_that_fits_is_taken(builder):
    sizes = {precision: builder.variant(precision).size for precision in PRECISIONS}
    assert sizes["int8"] < sizes["fp16"] < sizes["fp32"]
    for precision in PRECISIONS:
        steps = steps_to(builder, sizes[precision])
        assert steps[-1].variant.precision == precision
        assert len(steps) == PRECISIONS.index(precision) + 1


def test_without_a_limit_the_precision_is_int8_or_as_requested(builder):
    assert steps_to(builder, None)[-1].variant.precision == "int8"
    assert [step.variant.precision for step in steps_to(builder, None, "fp16")] == ["fp16"]


def test_int8_is_not_taken_if_it_costs_too_much(builder, monkeypatch):
    accuracies = {"fp32": 0.95, "fp16": 0.95, "int8": 0.94}

    def report(_, loaded):
        return Report(accuracies[loaded.precision], 0.9, 0.1, 0.1, rows=10, labels=())

    monkeypatch.setattr(VariantBuilder, "_report", report)
    steps = []
    assert within(builder, None, None, steps.append).precision == "fp16"
    assert [step.variant.precision for step in steps] == ["fp32", "fp16", "int8", "fp16"]
    assert steps[-1].variant is steps[1].variant
    accuracies["int8"] = 0.949
    assert within(builder, None, None, steps.append).precision == "int8"


def test_every_step_is_the_cheapest_and_the_last_fits(builder):
    full = builder.variant("int8")
    limit = int(full.size * 0.7)
    steps = steps_to(builder, limit)
    sizes = [step.variant.size for step in steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= limit < sizes[-2]
    before, last = steps[-2].variant, steps[-1].variant
    assert last.report == builder.variant("int8", last.plan).report
    assert last.report.accuracy > full.report.accuracy - 0.05
    search = size_search._Search(builder, 0, lambda _: None, length=0.25)
    search._ngram_effect = size_search.ngram_effect(builder.network, multi_label=False)
    search._token_effect = size_search.token_effect(builder.network, search._ngram_effect)
    costs = {
        step.what: size_search._cost_per_byte(before, step.variant)
        for step in search._steps(before)
    }
    assert len(costs) >= 3
    assert steps[-1].what == min(costs, key=costs.__getitem__)


def test_without_rows_short_last_steps_come_nearer_to_the_size(builder, monkeypatch):
    unmeasured = VariantBuilder(builder.original, ())
    limits = [int(unmeasured.variant("int8").size * share) for share in (0.8, 0.5)]
    last = [steps_to(unmeasured, limit)[-1].variant for limit in limits]
    assert [variant.report for variant in last] == [None, None]
    near = [variant.size / limit for variant, limit in zip(last, limits, strict=True)]
    monkeypatch.setattr(size_search, "_MIN_STEP_LENGTH", 1.0)
    full = [steps_to(unmeasured, limit)[-1].variant.size / limit for limit in limits]
    assert max(near) <= 1
    assert sum(near) > sum(full)
    assert min(near) > 0.95


def test_an_impossible_size_is_refused_with_the_smallest_found(builder):
    with pytest.raises(SizeError, match=r"at most 1,000 bytes, but the smallest .* has [\d,]+:"):
        within(VariantBuilder(builder.original, ()), 1000, None, lambda _: None)
