"""Word n-grams: tokens of one or several words.

Spaces mark where words begin and end (`pre_tokenization.word_marks`), so an entry such as
" of  the " matches whole words only. A text is split into as few entries as possible, and into the
more frequent ones where there is a choice; an n-gram without an entry is split into its words.
"""

import math
from collections.abc import Sequence

from tokenizers import models

from gatewise.vocab.tokenizer.vocabulary import BoundedCounter, VocabLimits

MAX_ENTRY_CHARACTERS = 256
"""Maximum length of an entry with a score; the library tries every prefix of a long one."""

# An n-gram that occurs once carries no more information than its words.
_MIN_NGRAM_FREQUENCY = 2
# Penalty per entry: more than all log frequencies of a text of 40,000 entries add up to.
_ENTRY_COST = 2**20


class WordNgramCounts:
    """Counts of the words of a corpus, and of n-grams of up to `ngram` words."""

    def __init__(self, ngram: int) -> None:
        self._ngram = ngram
        self._words = BoundedCounter()
        self._ngrams = BoundedCounter()

    def add(self, words: Sequence[str]) -> None:
        """Count one text, given as its words in order, each with its spaces."""
        self._words.add(words)
        self._ngrams.add(
            "".join(words[start : start + length])
            for length in range(2, self._ngram + 1)
            for start in range(len(words) - length + 1)
        )

    def model(self, limits: VocabLimits) -> models.Unigram:
        """A model of the most frequent words and n-grams; words win ties."""
        words = list(self._words.ranked(limits.min_frequency))
        ngrams = self._ngrams.ranked(max(limits.min_frequency, _MIN_NGRAM_FREQUENCY))
        # The sort is stable, and a word is at least as frequent as any n-gram with it: so every
        # n-gram in the vocabulary has its words there, too.
        kept = sorted([*words, *ngrams], key=lambda entry: -entry[1])[: limits.room]
        total = sum(count for _, count in kept)
        scores = {entry: math.log(count / total) - _ENTRY_COST for entry, count in kept}
        return unigram_model(scores, limits)


def unigram_model(scores: dict[str, float], limits: VocabLimits) -> models.Unigram:
    """A model that splits a text into the entries with the highest sum of scores.

    Scores are rounded to multiples of 2^-10: sums are then exact, and every runtime finds the same
    split. The library scores an unknown character 10 below the lowest score. Entries that are too
    long are left out.
    """
    rounded = {
        entry: round(score * 1024) / 1024
        for entry, score in scores.items()
        if len(entry) <= MAX_ENTRY_CHARACTERS
    }
    ranked = sorted(rounded, key=lambda entry: (-rounded[entry], entry))
    special = [(token, 0.0) for token in limits.special_tokens]
    vocabulary = [*special, *((entry, rounded[entry]) for entry in ranked)]
    return models.Unigram(vocabulary, limits.special_tokens.index(limits.unknown), False)
