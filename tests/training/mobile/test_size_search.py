"""The way to a size: fewer bits first, then what costs least."""

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
def workshop(model_folder, languages):
    rows = tuple(read_rows(languages / "validation.csv", bad_rows=StopAtBadRows()))
    return VariantBuilder(read_model_folder(model_folder), rows)


def steps_to(workshop, limit, precision=None):
    steps = []
    variant = within(workshop, limit, precision, steps.append)
    assert steps[-1].variant is variant
    return steps


def test_fewer_bits_come_first_and_the_most_exact_that_fits_is_taken(workshop):
    sizes = {precision: workshop.variant(precision).size for precision in PRECISIONS}
    assert sizes["int8"] < sizes["fp16"] < sizes["fp32"]
    for precision in PRECISIONS:
        steps = steps_to(workshop, sizes[precision])
        assert steps[-1].variant.precision == precision
        assert len(steps) == PRECISIONS.index(precision) + 1


def test_without_a_limit_it_is_eight_bits_or_what_was_asked_for(workshop):
    assert steps_to(workshop, None)[-1].variant.precision == "int8"
    assert [step.variant.precision for step in steps_to(workshop, None, "fp16")] == ["fp16"]


def test_eight_bits_that_cost_too_much_are_not_taken(workshop, monkeypatch):
    accuracies = {"fp32": 0.95, "fp16": 0.95, "int8": 0.94}

    def report(_, loaded):
        return Report(accuracies[loaded.precision], 0.9, 0.1, 0.1, rows=10, labels=())

    monkeypatch.setattr(VariantBuilder, "_report", report)
    steps = []
    assert within(workshop, None, None, steps.append).precision == "fp16"
    assert [step.variant.precision for step in steps] == ["fp32", "fp16", "int8", "fp16"]
    assert steps[-1].variant is steps[1].variant
    accuracies["int8"] = 0.949
    assert within(workshop, None, None, steps.append).precision == "int8"


def test_every_step_is_smaller_and_the_last_fits(workshop):
    whole = workshop.variant("int8")
    limit = int(whole.size * 0.72)
    steps = steps_to(workshop, limit)
    sizes = [step.variant.size for step in steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= limit < sizes[-2]
    last = steps[-1].variant
    # What the steps told is what the folder will answer.
    assert last.report == workshop.variant("int8", last.plan).report
    assert last.report.accuracy > whole.report.accuracy - 0.05


def test_of_the_next_steps_the_cheapest_is_taken(workshop):
    seen = []
    steps = steps_to(workshop, int(workshop.variant("int8").size * 0.7))
    search = size_search._Search(workshop, 0, seen.append, length=0.25)
    before = steps[-2].variant
    network = workshop.network
    search._ngram_effect = size_search.ngram_effect(network, multi_label=False)
    search._token_effect = size_search.token_effect(network, search._ngram_effect)
    prices = {step.what: size_search._price(before, step.variant) for step in search._steps(before)}
    assert len(prices) >= 3
    assert steps[-1].what == min(prices, key=prices.__getitem__)


def test_the_last_steps_are_short_ones_and_come_nearer(workshop, monkeypatch):
    blind = VariantBuilder(workshop.whole, ())
    limits = [int(blind.variant("int8").size * share) for share in (0.9, 0.8, 0.65, 0.5)]
    near = [steps_to(blind, limit)[-1].variant.size / limit for limit in limits]
    monkeypatch.setattr(size_search, "_SHORTEST", 1.0)
    whole = [steps_to(blind, limit)[-1].variant.size / limit for limit in limits]
    assert max(near) <= 1
    assert sum(near) > sum(whole)
    assert min(near) > 0.95


def test_without_rows_the_largest_saving_is_taken(workshop):
    blind = VariantBuilder(workshop.whole, ())
    limit = int(blind.variant("int8").size * 0.7)
    steps = steps_to(blind, limit)
    assert steps[-1].variant.report is None
    assert steps[-1].variant.size <= limit


def test_a_size_that_nothing_has_is_refused_with_the_smallest_that_was_found(workshop):
    with pytest.raises(SizeError, match=r"at most 1,000 bytes, and the smallest .* has [\d,]+:"):
        within(VariantBuilder(workshop.whole, ()), 1000, None, lambda _: None)
