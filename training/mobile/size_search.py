"""The most accurate variant of a model that fits into a number of bytes.

First the weights are stored in fewer bits. If that is not enough, n-grams go that no training text
had, which costs nothing; then, step by step, whichever of these costs the least on the validation
rows, for each byte that it saves: rarer or weaker tokens, weaker n-grams, or numbers of either's
vectors. What counts is the log loss and the share of mistakes, added. Without validation rows each
step is the one that saves the most bytes. Where a whole step would be the last, half and quarter
steps come near the size.
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

_TOKENS_LEFT, _NGRAMS_LEFT, _WIDTH_LEFT = 0.8, 0.65, 0.7
"""What a whole step leaves of the tokens, of the n-grams' rows, and of a vector's numbers."""

_SHORTEST = 0.25
"""The least part of a whole step."""

_FEWEST_TOKENS = len(SPECIAL_TOKENS) + 1
_LEAST_WIDTH = 2

_TINY = 1e-4
"""Added to what a step costs: of two that cost nothing, the one that saves more is taken."""


class SizeError(GatewiseError):
    """No variant of a model is as small as it was asked for."""


@dataclass(frozen=True)
class Step:
    """One variant on the way.

    Attributes:
        what: What was done to get there, in words.
        variant: What it gave.
    """

    what: str
    variant: Variant


OnStep = Callable[[Step], None]


def within(
    workshop: VariantBuilder,
    limit: int | None,
    precision: Precision | None,
    on_step: OnStep,
) -> Variant:
    """Finds a variant.

    Args:
        workshop: The model and its validation rows.
        limit: Most bytes of the network, the dictionary and `config.json` together; None for any.
        precision: How weights are stored; None leaves it open. Without a limit that is 8-bit
            integers, or 16-bit floats where integers cost more than 0.2 points of accuracy on the
            validation rows.
        on_step: Called with each variant that was taken, in order.

    Raises:
        SizeError: If nothing fits.
    """
    before: Variant | None = None
    for one in [precision] if precision else PRECISIONS:
        variant = workshop.variant(one)
        on_step(Step(f"weights as {NAMES[one]}", variant))
        if limit is not None and variant.size <= limit:
            return variant
        if limit is None and before is not None and _costs(before, variant):
            # What was taken is told last: the figures of the folder are those of the last step.
            on_step(Step(f"{NAMES[before.precision]} again: integers cost too much", before))
            return before
        before = variant
    return variant if limit is None else _Search(workshop, limit, on_step).from_(variant)


def _costs(exact: Variant, smaller: Variant) -> bool:
    """Whether fewer bits cost more accuracy than they may."""
    if exact.report is None or smaller.report is None or smaller.precision != "int8":
        return False
    return costs_too_much(exact.report.accuracy, smaller.report.accuracy)


@dataclass
class _Search:
    """The way down, step by step.

    Attributes:
        workshop: The model and its validation rows.
        limit: The size to get to.
        on_step: Called with each step that is taken.
        length: How much of a whole step the next ones are.
    """

    workshop: VariantBuilder
    limit: int
    on_step: OnStep
    length: float = 1.0

    def from_(self, start: Variant) -> Variant:
        network = self.workshop.network
        if is_pruned(network):
            raise SizeError(
                f"expected a model of at most {self.limit:,} bytes, and this one has "
                f"{start.size:,} and was made smaller before: begin with the one that it was made "
                "of"
            )
        if not token_tables(network):
            raise SizeError(
                f"expected a model of at most {self.limit:,} bytes, and this one has "
                f"{start.size:,}; only a network that gatewise train wrote can be made smaller"
            )
        now, of_ngrams = start, None
        if NGRAMS in network:
            multi_label = self.workshop.whole.config.multi_label
            of_ngrams = self._ngram_effect = ngram_effect(network, multi_label=multi_label)
        self._token_effect = token_effect(network, of_ngrams)
        if NGRAMS in network:
            had = np.union1d(np.flatnonzero(network[IDF] > 0), [0])
            if len(had) < len(network[IDF]):
                step = Step(
                    f"n-grams that no training text had left out: {len(had):,} of "
                    f"{len(network[IDF]):,} rows stay",
                    self.workshop.variant(now.precision, PruningPlan(ngrams=had)),
                )
                if step.variant.size < now.size:
                    self.on_step(step)
                    now = step.variant
        while now.size > self.limit:
            steps = list(self._steps(now))
            if not steps:
                raise SizeError(
                    f"expected a model of at most {self.limit:,} bytes, and the smallest that "
                    f"could be made of this one has {now.size:,}: allow a larger size, or train "
                    "a smaller one with fewer network.units, layers or tokens.vocab_size",
                    option="max_size",
                )
            best = min(steps, key=lambda step: _price(now, step.variant))
            if best.variant.size <= self.limit and self.length > _SHORTEST:
                self.length /= 2
                continue
            self.on_step(best)
            now = best.variant
        return now

    def _left(self, part: float) -> float:
        """What the next step leaves, if a whole one leaves a part."""
        return 1 - self.length * (1 - part)

    def _steps(self, now: Variant) -> Iterator[Step]:
        """The next step of each kind, where there is one: the nearest that saves anything."""
        kinds = (
            self._fewer_tokens,
            self._fewer_ngrams,
            partial(self._fewer_ngrams, counted=True),
            self._narrower,
            self._narrower_ngrams,
        )
        for kind in kinds:
            found = kind(now.plan)
            while found:
                what, plan = found
                variant = self.workshop.variant(now.precision, plan)
                if variant.size < now.size:
                    yield Step(what, variant)
                    break
                found = kind(plan)

    def _fewer_tokens(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if not self.workshop.has_whole_entries:
            return None
        every = np.arange(len(self._token_effect))
        tokens = every if plan.tokens is None else plan.tokens
        count = max(int(len(tokens) * self._left(_TOKENS_LEFT)), _FEWEST_TOKENS)
        if count == len(tokens):
            return None
        kept = _strongest(tokens, self._token_effect, count)
        ngrams = plan.ngrams
        if ngrams is not None:
            ngrams = np.setdiff1d(ngrams, np.setdiff1d(every, kept))
        what = f"{count:,} of {len(every):,} tokens stay"
        return what, replace(plan, tokens=kept, ngrams=ngrams)

    def _fewer_ngrams(
        self, plan: PruningPlan, *, counted: bool = False
    ) -> tuple[str, PruningPlan] | None:
        if NGRAMS not in self.workshop.network:
            return None
        told = self.workshop.network[IDF]
        rows = np.arange(len(told)) if plan.ngrams is None else plan.ngrams
        count = int(len(rows) * self._left(_NGRAMS_LEFT))
        if count < 1:
            return None
        kept = _strongest(rows, self._ngram_effect, count)
        what = f"{count:,} of {len(told):,} rows of the n-gram table stay"
        if not counted:
            return what, replace(plan, ngrams=kept, absent=0.0)
        gone = told[np.setdiff1d(np.flatnonzero(told > 0), kept)].astype(np.float64)
        absent = float(np.sqrt(np.square(gone).mean())) if len(gone) else 0.0
        what += ", the others count in a text's length"
        return what, replace(plan, ngrams=kept, absent=absent)

    def _narrower(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if EMBEDDING not in self.workshop.network:
            return None
        whole = self.workshop.network[EMBEDDING].shape[1]
        width = self._less(plan.width or whole)
        what = f"vectors of tokens have {width} numbers in place of {whole}"
        return (what, replace(plan, width=width)) if width else None

    def _narrower_ngrams(self, plan: PruningPlan) -> tuple[str, PruningPlan] | None:
        if NGRAMS not in self.workshop.network:
            return None
        whole = self.workshop.network[NGRAMS].shape[1]
        width = self._less(plan.ngram_width or whole)
        what = f"rows of the n-gram table have {width} numbers in place of {whole}"
        return (what, replace(plan, ngram_width=width)) if width else None

    def _less(self, width: int) -> int | None:
        """The next width below, if there is one."""
        less = max(int(width * self._left(_WIDTH_LEFT)), _LEAST_WIDTH)
        return less if less < width else None


def _strongest(ids: Ids, effect: Sequence[float] | np.ndarray, count: int) -> Ids:
    """The ids of the greatest effect, of equal ones the first, ascending."""
    values = np.asarray(effect)[ids]
    order = np.argsort(-values, kind="stable")[:count]
    return np.sort(ids[order])


def _price(now: Variant, then: Variant) -> float:
    """What a byte saved costs; without figures, the more bytes the cheaper."""
    saved = now.size - then.size
    if now.report is None or then.report is None:
        return -float(saved)
    worse = then.report.log_loss - now.report.log_loss
    worse += now.report.accuracy - then.report.accuracy
    return (worse + _TINY) / saved
