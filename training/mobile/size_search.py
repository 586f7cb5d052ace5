"""Greedy search for the most accurate variant of a model within a number of bytes.

Weights are first stored in fewer bits. If that is not enough, n-grams that occur in no training
text are removed, which changes no answer. Then each step takes the candidate with the lowest cost
per byte saved: fewer tokens, fewer n-grams, or fewer dimensions of the vectors of either. The cost
is the increase of log loss plus error rate on the validation rows, or of the RMSE as a share of the
numbers' deviation; without rows, the step that saves the most bytes is taken. Before the last step,
steps of half and a quarter of the length come closer to the size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from gatewise.service.model.model_documents import PRECISIONS, Precision
from gatewise.training.evaluation.model_benchmark import NAMES, costs_too_much
from gatewise.training.mobile.onnx_parts import EMBEDDING, IDF, NGRAMS
from gatewise.training.mobile.pruning import (
    Ids,
    PruningPlan,
    is_pruned,
    ngram_effect,
    token_effect,
    token_tables,
)
from gatewise.training.mobile.variants import Variant, VariantBuilder
from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS

_TOKENS_KEPT, _NGRAMS_KEPT, _WIDTH_KEPT = 0.8, 0.65, 0.7
"""The share of tokens, n-gram rows and vector dimensions that a full step keeps."""

_MIN_STEP_LENGTH = 0.25
"""The length of the shortest step, as a share of a full one."""

_MIN_TOKENS = len(SPECIAL_TOKENS) + 1
_MIN_WIDTH = 2

_COST_OFFSET = 1e-4
"""Added to the cost of a step: of two free steps, the one that saves more bytes is taken."""


class SizeError(GatewiseError):
    """No variant of a model has the requested size."""


OnStep = Callable[[str, Variant], None]
"""Called with each step taken, in order: what it did, for people, and the variant it led to."""


def within(
    builder: VariantBuilder,
    limit: int | None,
    precision: Precision | None,
    on_step: OnStep,
) -> Variant:
    """Searches for the most accurate variant of at most so many bytes; None for any size.

    Without a given precision, the most exact that fits is taken. Without a limit, that is 8-bit
    integers, or 16-bit floats if integers cost more than 0.2 points of accuracy, or 1 % of RMSE, on
    the validation rows.

    Raises:
        SizeError: If no variant fits.
    """
    before: Variant | None = None
    for each in [precision] if precision else PRECISIONS:
        variant = builder.variant(each)
        on_step(f"weights as {NAMES[each]}", variant)
        if limit is not None and variant.size <= limit:
            return variant
        if limit is None and before is not None and _costs_too_much(before, variant):
            # The last step is the variant taken: its metrics are those of the folder.
            on_step(f"back to {NAMES[before.precision]}: integers cost too much", before)
            return before
        before = variant
    if limit is None:
        return variant
    if builder.original.dictionary is None:
        raise _too_large(variant, limit)  # there are no tokens and no n-grams to remove
    return _PruningSearch(builder, limit).run(variant, on_step)


def _costs_too_much(exact: Variant, smaller: Variant) -> bool:
    """Whether 8-bit integers cost more accuracy than allowed."""
    if exact.report is None or smaller.report is None or smaller.precision != "int8":
        return False
    return costs_too_much(exact.report.main_metrics, smaller.report.main_metrics)


class _PruningSearch:
    """The search over pruning plans.

    Its first steps have a length that is a share of a full one; the last ones are shorter.
    """

    def __init__(self, builder: VariantBuilder, limit: int, length: float = 1.0) -> None:
        self._builder, self._limit, self._length = builder, limit, length
        network = builder.network
        if is_pruned(network):
            raise SizeError(
                f"expected a model of at most {limit:,} bytes, received a larger one that was "
                "pruned before: start from the original model"
            )
        if not token_tables(network):
            raise SizeError(
                f"expected a model of at most {limit:,} bytes, received a larger one that cannot "
                "be pruned: only a network written by gatewise train can"
            )
        self._ngram_effect = None
        if NGRAMS in network:
            is_softmax = builder.original.config.task == "single_label"
            self._ngram_effect = ngram_effect(network, multi_label=not is_softmax)
        self._token_effect = token_effect(network, self._ngram_effect)

    def run(self, start: Variant, on_step: OnStep) -> Variant:
        now = start
        if found := self._without_unseen_ngrams():
            what, plan = found
            variant = self._builder.variant(now.precision, plan)
            if variant.size < now.size:
                on_step(what, variant)
                now = variant
        while now.size > self._limit:
            steps = list(self.steps(now))
            if not steps:
                raise _too_large(now, self._limit)
            what, best = min(steps, key=lambda step: cost_per_byte(now, step[1]))
            if best.size <= self._limit and self._length > _MIN_STEP_LENGTH:
                self._length /= 2
                continue
            on_step(what, best)
            now = best
        return now

    def steps(self, now: Variant) -> Iterator[tuple[str, Variant]]:
        """The next step of each kind, if any: the first that saves bytes."""
        kinds = (
            self._fewer_tokens,
            self._fewer_ngrams,
            partial(self._fewer_ngrams, counted=True),
            self._narrower_vectors,
            self._narrower_ngrams,
        )
        for kind in kinds:
            found = kind(now.plan)
            while found:
                what, plan = found
                variant = self._builder.variant(now.precision, plan)
                if variant.size < now.size:
                    yield what, variant
                    break
                found = kind(plan)

    def _kept(self, share: float) -> float:
        """The share that the next step keeps, if a full one keeps this share."""
        return 1 - self._length * (1 - share)

    def _without_unseen_ngrams(self) -> tuple[str, PruningPlan] | None:
        if NGRAMS not in self._builder.network:
            return None
        idf = self._builder.network[IDF]
        seen = np.union1d(np.flatnonzero(idf > 0), [0])
        what = "n-grams of no training text removed: " + _rows_kept(len(seen), len(idf))
        return (what, PruningPlan(ngrams=seen)) if len(seen) < len(idf) else None

    def _fewer_tokens(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if not self._builder.can_drop_tokens:
            return None
        every = np.arange(len(self._token_effect))
        tokens = every if plan.tokens is None else plan.tokens
        count = max(int(len(tokens) * self._kept(_TOKENS_KEPT)), _MIN_TOKENS)
        if count == len(tokens):
            return None
        kept = _strongest(tokens, self._token_effect, count)
        ngrams = plan.ngrams
        if ngrams is not None:
            ngrams = np.setdiff1d(ngrams, np.setdiff1d(every, kept))
        what = f"{count:,} of {len(every):,} tokens kept"
        return what, replace(plan, tokens=kept, ngrams=ngrams)

    def _fewer_ngrams(
        self, plan: PruningPlan, *, counted: bool = False
    ) -> tuple[str, PruningPlan] | None:
        if self._ngram_effect is None:
            return None
        idf = self._builder.network[IDF]
        rows = np.arange(len(idf)) if plan.ngrams is None else plan.ngrams
        count = int(len(rows) * self._kept(_NGRAMS_KEPT))
        if count < 1:
            return None
        kept = _strongest(rows, self._ngram_effect, count)
        what = _rows_kept(count, len(idf))
        if not counted:
            return what, replace(plan, ngrams=kept, absent_idf=0.0)
        removed = idf[np.setdiff1d(np.flatnonzero(idf > 0), kept)].astype(np.float64)
        absent_idf = float(np.sqrt(np.square(removed).mean())) if len(removed) else 0.0
        what += ", the others count in a text's norm"
        return what, replace(plan, ngrams=kept, absent_idf=absent_idf)

    def _narrower_vectors(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        width, full = self._less(EMBEDDING, plan.width)
        what = f"token vectors of {width} instead of {full} dimensions"
        return (what, replace(plan, width=width)) if width else None

    def _narrower_ngrams(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        width, full = self._less(NGRAMS, plan.ngram_width)
        what = f"rows of the n-gram table of {width} instead of {full} dimensions"
        return (what, replace(plan, ngram_width=width)) if width else None

    def _less(self, table: str, width: int | None) -> tuple[int | None, int]:
        """The next smaller width of a table, if there is one, and the width of the original."""
        if table not in self._builder.network:
            return None, 0
        full = self._builder.network[table].shape[1]
        less = max(int((width or full) * self._kept(_WIDTH_KEPT)), _MIN_WIDTH)
        return (less if less < (width or full) else None), full


def _too_large(smallest: Variant, limit: int) -> SizeError:
    others = (
        " or layers" if smallest.artifact.dictionary is None else ", layers or tokens.vocab_size"
    )
    return SizeError(
        f"expected a model of at most {limit:,} bytes, but the smallest variant of this one has "
        f"{smallest.size:,}: allow a larger size, or train a smaller one with fewer "
        f"network.units{others}",
        option="max_size",
    )


def _rows_kept(count: int, every: int) -> str:
    return f"{count:,} of {every:,} rows of the n-gram table kept"


def _strongest(ids: Ids, effect: Sequence[float] | np.ndarray, count: int) -> Ids:
    """The ids with the greatest effect, in ascending order; of equal effects, the first ids."""
    values = np.asarray(effect)[ids]
    order = np.argsort(-values, kind="stable")[:count]
    return np.sort(ids[order])


def cost_per_byte(now: Variant, then: Variant) -> float:
    """The cost of a step for each byte saved; without metrics, minus the bytes saved."""
    saved = now.size - then.size
    if now.report is None or then.report is None:
        return -float(saved)
    return (then.report.cost - now.report.cost + _COST_OFFSET) / saved
