"""Greedy search for the most accurate variant of a model within a number of bytes.

Weights are first stored in fewer bits. If that is not enough, n-grams that occur in no training
text are removed, which changes no answer. Then each step takes the candidate with the lowest cost
per byte saved: fewer tokens, fewer n-grams, or fewer dimensions of the vectors of either. The cost
is the increase of log loss plus error rate on the validation rows; without rows, the step that
saves the most bytes is taken. Before the last step, steps of half and a quarter of the length come
closer to the size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Step:
    """One step of the search.

    Attributes:
        what: What the step did, for people.
        variant: Its result.
    """

    what: str
    variant: Variant


OnStep = Callable[[Step], None]


def within(
    builder: VariantBuilder,
    limit: int | None,
    precision: Precision | None,
    on_step: OnStep,
) -> Variant:
    """Searches for a variant.

    Args:
        builder: The model and its validation rows.
        limit: `Variant.size`, at most; None for any.
        precision: How weights are stored; None to choose. Without a limit, 8-bit integers are
            chosen, or 16-bit floats if integers cost more than 0.2 points of accuracy on the
            validation rows.
        on_step: Called with each step taken, in order.

    Raises:
        SizeError: If no variant fits.
    """
    before: Variant | None = None
    for each in [precision] if precision else PRECISIONS:
        variant = builder.variant(each)
        on_step(Step(f"weights as {NAMES[each]}", variant))
        if limit is not None and variant.size <= limit:
            return variant
        if limit is None and before is not None and _costs_too_much(before, variant):
            # The last step is the variant taken: its metrics are those of the folder.
            on_step(Step(f"back to {NAMES[before.precision]}: integers cost too much", before))
            return before
        before = variant
    return variant if limit is None else _Search(builder, limit, on_step).run(variant)


def _costs_too_much(exact: Variant, smaller: Variant) -> bool:
    """Whether 8-bit integers cost more accuracy than allowed."""
    if exact.report is None or smaller.report is None or smaller.precision != "int8":
        return False
    return costs_too_much(exact.report.accuracy, smaller.report.accuracy)


@dataclass
class _Search:
    """The search over pruning plans.

    Attributes:
        builder: The model and its validation rows.
        limit: The size to reach.
        on_step: Called with each step taken.
        length: The length of the next steps, as a share of a full one.
    """

    builder: VariantBuilder
    limit: int
    on_step: OnStep
    length: float = 1.0

    def run(self, start: Variant) -> Variant:
        network = self.builder.network
        if is_pruned(network):
            raise SizeError(
                f"expected a model of at most {self.limit:,} bytes, received one of "
                f"{start.size:,} that was pruned before: start from the original model"
            )
        if not token_tables(network):
            raise SizeError(
                f"expected a model of at most {self.limit:,} bytes, received one of "
                f"{start.size:,}; only a network written by gatewise train can be pruned"
            )
        now, ngrams = start, None
        if NGRAMS in network:
            multi_label = self.builder.original.config.multi_label
            ngrams = self._ngram_effect = ngram_effect(network, multi_label=multi_label)
        self._token_effect = token_effect(network, ngrams)
        if NGRAMS in network:
            seen = np.union1d(np.flatnonzero(network[IDF] > 0), [0])
            if len(seen) < len(network[IDF]):
                step = Step(
                    f"n-grams of no training text removed: {len(seen):,} of "
                    f"{len(network[IDF]):,} rows of the n-gram table kept",
                    self.builder.variant(now.precision, PruningPlan(ngrams=seen)),
                )
                if step.variant.size < now.size:
                    self.on_step(step)
                    now = step.variant
        while now.size > self.limit:
            steps = list(self._steps(now))
            if not steps:
                raise SizeError(
                    f"expected a model of at most {self.limit:,} bytes, but the smallest variant "
                    f"of this one has {now.size:,}: allow a larger size, or train "
                    "a smaller one with fewer network.units, layers or tokens.vocab_size",
                    option="max_size",
                )
            best = min(steps, key=lambda step: _cost_per_byte(now, step.variant))
            if best.variant.size <= self.limit and self.length > _MIN_STEP_LENGTH:
                self.length /= 2
                continue
            self.on_step(best)
            now = best.variant
        return now

    def _kept(self, share: float) -> float:
        """The share that the next step keeps, if a full one keeps this share."""
        return 1 - self.length * (1 - share)

    def _steps(self, now: Variant) -> Iterator[Step]:
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
                variant = self.builder.variant(now.precision, plan)
                if variant.size < now.size:
                    yield Step(what, variant)
                    break
                found = kind(plan)

    def _fewer_tokens(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if not self.builder.can_drop_tokens:
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
        if NGRAMS not in self.builder.network:
            return None
        idf = self.builder.network[IDF]
        rows = np.arange(len(idf)) if plan.ngrams is None else plan.ngrams
        count = int(len(rows) * self._kept(_NGRAMS_KEPT))
        if count < 1:
            return None
        kept = _strongest(rows, self._ngram_effect, count)
        what = f"{count:,} of {len(idf):,} rows of the n-gram table kept"
        if not counted:
            return what, replace(plan, ngrams=kept, absent_idf=0.0)
        removed = idf[np.setdiff1d(np.flatnonzero(idf > 0), kept)].astype(np.float64)
        absent_idf = float(np.sqrt(np.square(removed).mean())) if len(removed) else 0.0
        what += ", the others count in a text's norm"
        return what, replace(plan, ngrams=kept, absent_idf=absent_idf)

    def _narrower_vectors(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if EMBEDDING not in self.builder.network:
            return None
        full = self.builder.network[EMBEDDING].shape[1]
        width = self._less(plan.width or full)
        what = f"token vectors of {width} instead of {full} dimensions"
        return (what, replace(plan, width=width)) if width else None

    def _narrower_ngrams(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if NGRAMS not in self.builder.network:
            return None
        full = self.builder.network[NGRAMS].shape[1]
        width = self._less(plan.ngram_width or full)
        what = f"rows of the n-gram table of {width} instead of {full} dimensions"
        return (what, replace(plan, ngram_width=width)) if width else None

    def _less(self, width: int) -> int | None:
        """The next smaller width, if there is one."""
        less = max(int(width * self._kept(_WIDTH_KEPT)), _MIN_WIDTH)
        return less if less < width else None


def _strongest(ids: Ids, effect: Sequence[float] | np.ndarray, count: int) -> Ids:
    """The ids with the greatest effect, in ascending order; of equal effects, the first ids."""
    values = np.asarray(effect)[ids]
    order = np.argsort(-values, kind="stable")[:count]
    return np.sort(ids[order])


def _cost_per_byte(now: Variant, then: Variant) -> float:
    """The cost of a step for each byte saved; without metrics, minus the bytes saved."""
    saved = now.size - then.size
    if now.report is None or then.report is None:
        return -float(saved)
    worse = then.report.log_loss - now.report.log_loss
    worse += now.report.accuracy - then.report.accuracy
    return (worse + _COST_OFFSET) / saved
