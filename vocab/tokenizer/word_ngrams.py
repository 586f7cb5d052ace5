"""Word n-grams: tokens of a few words that often stand together.

A text is one stretch in which spaces mark where words begin and end
(`gatewise.vocab.tokenizer.pre_tokenization`), so that an entry such as " of  the " fits whole
words only. It is cut into as few entries as it can be, and into the more frequent ones where that
leaves a choice; a phrase that has no entry is cut into its words. Knows nothing of texts, nor of
how a dictionary is kept.
"""

import math
from collections.abc import Sequence

from gatewise.vocab.tokenizer.bounded_counter import BoundedCounter
from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from tokenizers import models

MAX_ENTRY_CHARACTERS = 256
"""Longest entry with a score: wherever it fits, each of its beginnings is looked up too."""

# A phrase that is seen once tells no more than its words do.
_MIN_PHRASE_FREQUENCY = 2
# What one entry more costs: more than all their frequencies can add in a text of 40,000 entries.
_ENTRY_COST = 2**20


class WordNgramCounts:
    """Counts the words of a corpus and the phrases they make.

    Args:
        ngram: Most words of a phrase.
    """

    def __init__(self, ngram: int) -> None:
        self._ngram = ngram
        self._words = BoundedCounter()
        self._phrases = BoundedCounter()

    def add(self, words: Sequence[str]) -> None:
        """Counts one text.

        Args:
            words: Its words in their order, with their marks.
        """
        self._words.add(words)
        self._phrases.add(
            "".join(words[start : start + length])
            for length in range(2, self._ngram + 1)
            for start in range(len(words) - length + 1)
        )

    def model(self, sizes: VocabLimits) -> models.Unigram:
        """The most frequent words and phrases; of equals the words stay.

        Args:
            sizes: What bounds the dictionary.
        """
        words = list(self._words.ranked(sizes.min_frequency))
        phrases = self._phrases.ranked(max(sizes.min_frequency, _MIN_PHRASE_FREQUENCY))
        # Sorting keeps equals in their order, and a word is never rarer than a phrase with it: no
        # phrase is in the dictionary without its words.
        kept = sorted([*words, *phrases], key=lambda entry: -entry[1])[: sizes.room]
        total = sum(count for _, count in kept)
        scores = {entry: math.log(count / total) - _ENTRY_COST for entry, count in kept}
        return scored_entries(scores, sizes)


def scored_entries(scores: dict[str, float], sizes: VocabLimits) -> models.Unigram:
    """A model that cuts a stretch so that the scores of the entries add up to the most.

    Args:
        scores: Each entry's score; 10 below the least of them is an unknown character's. They are
            rounded to a fraction of two, so that sums are exact and no runtime finds another best.
            Entries that are too long are left out.
        sizes: What bounds the dictionary.
    """
    rounded = {
        entry: round(score * 1024) / 1024
        for entry, score in scores.items()
        if len(entry) <= MAX_ENTRY_CHARACTERS
    }
    ranked = sorted(rounded, key=lambda entry: (-rounded[entry], entry))
    special = [(token, 0.0) for token in sizes.special_tokens]
    vocabulary = [*special, *((entry, rounded[entry]) for entry in ranked)]
    return models.Unigram(vocabulary, sizes.special_tokens.index(sizes.unknown), False)
