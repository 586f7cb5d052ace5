"""Pieces of words: three ways to find them in the words of a corpus, each the same at every run.

Byte-pair merges are the library's own. Its trainers of WordPiece and Unigram number their pieces
in another order at each run, so those two are made here, from the pieces of merges. Knows nothing
of texts, nor of how a dictionary is kept.

Sources: R. Sennrich et al.: Neural Machine Translation of Rare Words with Subword Units, 2016
(merges); M. Schuster, K. Nakajima: Japanese and Korean Voice Search, 2012 (WordPiece); T. Kudo:
Subword Regularization, 2018 (Unigram).
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

Words = Sequence[tuple[str, int]]
"""The words of a corpus, each with how often it occurs."""

CONTINUATION = "##"
"""What a WordPiece entry begins with that stands inside a word."""

MAX_WORD_CHARACTERS = 100
"""Longest word that a model of whole words, or of WordPiece, looks at; a longer one is unknown."""

MAX_ENTRY_CHARACTERS = 256
"""Longest entry with a score: wherever it fits, each of its beginnings is looked up too."""

_WINDOW = 4096
# The trainer counts words by itself: a frequent one is given to it over and over, in such parts.
_WORDS_OF_A_TEXT = 1000
# A private character, which no text keeps, in place of the space that marks a word's start.
_MARK = "\ue000"

# Unigram starts from this many times the pieces wanted, and drops a quarter at a time.
_SEEDS = 4
_KEPT_SHARE = 0.75
_ROUNDS_OF_COUNTING = 2


def bpe(words: Words, sizes: VocabLimits) -> models.BPE:
    """Characters, and what becomes of them by merging the pair that is seen most, again and again.

    Args:
        words: The words of the corpus.
        sizes: What bounds the dictionary.
    """
    model: models.BPE = _merging(_of_known_characters(words, sizes), sizes).model
    return model


def wordpiece(words: Words, sizes: VocabLimits) -> models.WordPiece:
    """Pieces of which the longest that fits is taken first; inside a word they are other ones.

    They are the characters, and the most frequent of the pieces that merging cuts the words into.

    Args:
        words: The words of the corpus.
        sizes: What bounds the dictionary.
    """
    short = [(word, count) for word, count in words if len(word) <= MAX_WORD_CHARACTERS]
    within = _of_known_characters(short, sizes)
    merging = _merging(within, sizes)
    names = dict(_ids(merging))
    characters: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for window in _windows(within):
        encodings = merging.encode_batch_fast([word for word, _ in window])
        for (word, count), encoding in zip(window, encodings, strict=True):
            cut = [names[number] for number in encoding.ids]
            for counter, parts in ((characters, word), (pieces, cut)):
                for index, part in enumerate(parts):
                    counter[CONTINUATION + part if index else part] += count
    # Without its characters a word is unknown: they go first.
    kept = sizes.most_frequent(characters)
    kept += [piece for piece in sizes.most_frequent(pieces) if piece not in characters]
    return whole_entries(sizes.numbered(kept), sizes)


def whole_entries(vocabulary: dict[str, int], sizes: VocabLimits) -> models.WordPiece:
    """A WordPiece model, which every runtime has; with entries of whole words, one of those.

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


def unigram(words: Words, sizes: VocabLimits) -> models.Unigram:
    """Pieces with a probability each, of which a word is made in the likeliest way.

    Starts from more pieces than there is room for. In turn, every word is cut in its likeliest
    way, the pieces' probabilities become their shares, and those pieces are dropped without which
    the words lose the least in likelihood.

    Args:
        words: The words of the corpus, each after the space that marks its start.
        sizes: What bounds the dictionary.
    """
    words = _of_known_characters(words, sizes)
    unmarked = [(word.replace(" ", _MARK), count) for word, count in words]
    merging = _merging(unmarked, sizes.times(_SEEDS))
    seeds = _ids(merging)[len(sizes.special_tokens) :]
    # A merge's frequency falls about as its rank rises: where the probabilities start.
    scores = {
        piece.replace(_MARK, " "): -math.log(rank) for rank, (_, piece) in enumerate(seeds, start=1)
    }
    while True:
        for _ in range(_ROUNDS_OF_COUNTING):
            counts = _counted(words, scores, sizes)
            total = sum(counts.values())
            scores = {piece: math.log(max(count, 0.5) / total) for piece, count in counts.items()}
        if len(scores) <= sizes.room:
            break
        losses = {
            piece: counts[piece] * (score - _best_without(piece, scores))
            for piece, score in scores.items()
            if len(piece) > 1
        }
        room = max(sizes.room, int(len(scores) * _KEPT_SHARE)) - (len(scores) - len(losses))
        ranked = sorted(losses, key=lambda piece: (-losses[piece], piece))
        dropped = set(ranked[max(room, 0) :])
        scores = {piece: score for piece, score in scores.items() if piece not in dropped}
    used = {
        piece: score
        for piece, score in scores.items()
        if len(piece) == 1 or counts[piece] >= sizes.min_frequency
    }
    return scored_entries(used, sizes)


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


def _merging(words: Words, sizes: VocabLimits) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=sizes.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=sizes.vocab_size,
        min_frequency=sizes.min_frequency,
        special_tokens=list(sizes.special_tokens),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    return tokenizer


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


def _counted(words: Words, scores: dict[str, float], sizes: VocabLimits) -> dict[str, int]:
    """How often each piece occurs if every word is cut in its likeliest way."""
    tokenizer = Tokenizer(scored_entries(scores, sizes))
    totals: NDArray[np.float64] = np.zeros(tokenizer.get_vocab_size())
    for window in _windows(words):
        encodings = tokenizer.encode_batch_fast([word for word, _ in window])
        ids = [encoding.ids for encoding in encodings]
        weights = np.repeat([count for _, count in window], [len(piece) for piece in ids])
        # Whole numbers far below 2^53, so the sums are exact in any order.
        totals += np.bincount(np.concatenate(ids), weights=weights, minlength=len(totals))
    return {piece: int(totals[number]) for number, piece in _ids(tokenizer) if piece in scores}


def _ids(tokenizer: Tokenizer) -> list[tuple[int, str]]:
    """The entries of a dictionary with their ids, in order of these."""
    return sorted((number, entry) for entry, number in tokenizer.get_vocab().items())


def _best_without(piece: str, scores: dict[str, float]) -> float:
    """The score of the likeliest way to make a piece of other ones."""
    best = [0.0] + [-math.inf] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            part = piece[start:end]
            if part != piece and part in scores:
                best[end] = max(best[end], best[start] + scores[part])
    return best[-1]


def _windows(words: Words) -> Iterator[Words]:
    for start in range(0, len(words), _WINDOW):
        yield words[start : start + _WINDOW]
