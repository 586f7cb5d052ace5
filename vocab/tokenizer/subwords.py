"""Byte-pair merges of the words of a corpus (BPE), the same in every run.

Source: R. Sennrich et al.: Neural Machine Translation of Rare Words with Subword Units, 2016.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gatewise.vocab.tokenizer.vocabulary import VocabLimits

WordCounts = Sequence[tuple[str, int]]
"""The words of a corpus, each with its count."""

# The library's trainer counts words itself, so each word is repeated, in texts of this many words.
_WORDS_PER_TEXT = 1000


def train_bpe(words: WordCounts, limits: VocabLimits) -> models.BPE:
    """Train a BPE model: single characters, then merges of the most frequent pair."""
    tokenizer = Tokenizer(models.BPE(unk_token=limits.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=limits.vocab_size,
        min_frequency=limits.min_frequency,
        special_tokens=list(limits.special_tokens),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(_without_rare_characters(words, limits)), trainer)
    model: models.BPE = tokenizer.model
    return model


def _without_rare_characters(words: WordCounts, limits: VocabLimits) -> WordCounts:
    """Split the words at characters that are too rare for the vocabulary."""
    seen: Counter[str] = Counter()
    for word, count in words:
        for character in word:
            seen[character] += count
    rare = seen.keys() - set(limits.most_frequent(seen)[: limits.room])
    if not rare:
        return words
    separators = str.maketrans(dict.fromkeys(rare, "\n"))
    parts: Counter[str] = Counter()
    for word, count in words:
        for part in word.translate(separators).split("\n"):
            parts[part] += count
    del parts[""]
    return list(parts.items())


def _repeated(words: WordCounts) -> Iterator[str]:
    """Texts that contain every word as often as its count."""
    text: list[str] = []
    for word, count in words:
        left = count
        while left:
            repeats = min(left, _WORDS_PER_TEXT - len(text))
            text += [word] * repeats
            left -= repeats
            if len(text) == _WORDS_PER_TEXT:
                yield " ".join(text)
                text = []
    yield " ".join(text)
