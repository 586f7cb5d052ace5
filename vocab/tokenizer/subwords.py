"""Pieces of words: byte-pair merges of the words of a corpus, the same at every run.

Source: R. Sennrich et al.: Neural Machine Translation of Rare Words with Subword Units, 2016.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

Words = Sequence[tuple[str, int]]
"""The words of a corpus, each with how often it occurs."""

CONTINUATION = "##"
"""What an entry of a WordPiece model begins with that stands inside a word; no word does."""

MAX_WORD_CHARACTERS = 100
"""Longest word that a model of whole words looks at; a longer one is unknown."""

# The trainer counts words by itself: a frequent one is given to it over and over, in such parts.
_WORDS_OF_A_TEXT = 1000


def bpe(words: Words, sizes: VocabLimits) -> models.BPE:
    """Characters, and what becomes of them by merging the pair that is seen most, again and again.

    Args:
        words: The words of the corpus.
        sizes: What bounds the dictionary.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=sizes.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=sizes.vocab_size,
        min_frequency=sizes.min_frequency,
        special_tokens=list(sizes.special_tokens),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(_of_known_characters(words, sizes)), trainer)
    model: models.BPE = tokenizer.model
    return model


def whole_entries(vocabulary: dict[str, int], sizes: VocabLimits) -> models.WordPiece:
    """A model of whole words: WordPiece, which every runtime has, without entries inside a word.

    Args:
        vocabulary: Each entry's id.
        sizes: What bounds the dictionary.
    """
    return models.WordPiece(
        vocabulary,
        unk_token=sizes.unknown,
        max_input_chars_per_word=MAX_WORD_CHARACTERS,
        continuing_subword_prefix=CONTINUATION,
    )


def _of_known_characters(words: Words, sizes: VocabLimits) -> Words:
    """The words without the characters that are too rare, or for which there is no room."""
    seen: Counter[str] = Counter()
    for word, count in words:
        for character in word:
            seen[character] += count
    rare = seen.keys() - set(sizes.most_frequent(seen)[: sizes.room])
    if not rare:
        return words
    parted = str.maketrans(dict.fromkeys(rare, "\n"))
    parts: Counter[str] = Counter()
    for word, count in words:
        for part in word.translate(parted).split("\n"):
            parts[part] += count
    del parts[""]
    return list(parts.items())


def _repeated(words: Words) -> Iterator[str]:
    """Texts in which every word occurs as often as it was counted."""
    text: list[str] = []
    for word, count in words:
        left = count
        while left:
            some = min(left, _WORDS_OF_A_TEXT - len(text))
            text += [word] * some
            left -= some
            if len(text) == _WORDS_OF_A_TEXT:
                yield " ".join(text)
                text = []
    yield " ".join(text)
