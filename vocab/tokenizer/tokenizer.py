"""The tokenizer: trained on the texts of a corpus, and copies with fewer entries and with more.

It uses only those parts of Hugging Face `tokenizers` that JavaScript runtimes implement in the
same way, so one `tokenizer.json` serves every runtime.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Literal

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer import pre_tokenization, subwords
from gatewise.vocab.tokenizer.vocabulary import BoundedCounter, VocabLimits
from gatewise.vocab.tokenizer.word_ngrams import WordNgramCounts
from gatewise.vocab.tokenizer.word_pieces import (
    CONTINUATION,
    END_OF_PIECES,
    inside_words,
    word_pieces,
)

Unit = Literal["word", "subword", "character", "ngram"]
Accents = Literal["keep", "strip"]
Normalization = pre_tokenization.Form

PAD, UNKNOWN, CLS = "[PAD]", "[UNK]", "[CLS]"
PAD_ID, UNKNOWN_ID, CLS_ID = 0, 1, 2
SPECIAL_TOKENS = (PAD, UNKNOWN, CLS)

MAX_WORD_CHARACTERS = 100
"""Longest word in a vocabulary of words; a longer word is unknown, and not read as pieces.

The time to split a word into pieces grows with the square of its length.
"""

_Steps = list[normalizers.Normalizer]


def train_tokenizer(  # noqa: PLR0913 — an argument for each setting
    texts: Iterable[str],
    *,
    unit: Unit = "word",
    vocab_size: int = 20_000,
    min_frequency: int = 1,
    lowercase: bool = True,
    ngram: int = 2,
    accents: Accents = "keep",
    normalization: Normalization = "none",
    pieces: int = 0,
) -> Tokenizer:
    """Train a tokenizer on the texts of a corpus.

    Args:
        texts: The training texts; read once, in a stream.
        unit: What a token is.
        vocab_size: Maximum number of entries, special tokens included; the most frequent are kept.
        min_frequency: Entries that occur less often are left out.
        lowercase: Whether to ignore case.
        ngram: Maximum number of words per token, for `unit="ngram"`.
        accents: Whether to keep or strip accents of Latin, Greek and Cyrillic letters.
        normalization: The Unicode normalization form.
        pieces: Maximum number of entries that are pieces of words, for `unit="word"`; without, a
            word that is not in the vocabulary is unknown.

    Raises:
        TokenizerError: The vocabulary is empty.
    """
    limits = VocabLimits(vocab_size, min_frequency, SPECIAL_TOKENS, UNKNOWN)
    steps = pre_tokenization.cleaning(
        lowercase=lowercase, strip_accents=accents == "strip", form=normalization
    )
    if not lowercase:
        # JavaScript also recognizes special tokens that only appear after normalization.
        steps += [
            normalizers.Replace(token, pre_tokenization.escape_special_token(token))
            for token in SPECIAL_TOKENS
        ]
    if unit == "word":
        tokenizer = _train_words(texts, steps, limits, pieces)
    elif unit == "character":
        tokenizer = _train_characters(texts, steps, limits)
    elif unit == "subword":
        tokenizer = _train_subwords(texts, steps, limits)
    else:
        tokenizer = _train_ngrams(texts, steps, limits, ngram)
    if tokenizer.get_vocab_size() <= len(SPECIAL_TOKENS):
        raise TokenizerError(
            f"no {unit} occurs {min_frequency} times or more: lower tokens.min_frequency"
        )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A", pair=f"{CLS} $A $B:1", special_tokens=[(CLS, CLS_ID)]
    )
    return tokenizer


def has_independent_entries(tokenizer: Tokenizer) -> bool:
    """Whether entries can be removed without changing what the others stand for."""
    model = json.loads(tokenizer.to_str())["model"]
    return bool(model["type"] == "WordPiece" or model.get("merges") == [])


def reduce_tokenizer(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """A tokenizer with a part of the entries, renumbered in their order.

    Texts are split as before. A removed entry becomes the unknown token, or the pieces of a word if
    the tokenizer has them. Ids are kept in ascending order, those of the special tokens among them.

    Raises:
        TokenizerError: Entries depend on each other, as merges do.
    """
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if not has_independent_entries(tokenizer):
        raise TokenizerError(
            f"entries of a {model['type']} vocabulary depend on each other and cannot be removed: "
            "train with tokens.unit=word or tokens.unit=character, or with a lower "
            "tokens.vocab_size"
        )
    new_ids = {old: new for new, old in enumerate(kept)}
    model["vocab"] = {
        entry: new_ids[old]
        for entry, old in sorted(model["vocab"].items(), key=lambda item: item[1])
        if old in new_ids
    }
    return Tokenizer.from_str(json.dumps(document, ensure_ascii=False))


def grow_tokenizer(tokenizer: Tokenizer, other: Tokenizer, vocab_size: int) -> Tokenizer:
    """A tokenizer with the entries of another one, trained with the same options, after its own.

    Entries that depend on each other, as merges do, do not grow: the tokenizer stays as it is. So
    do the pieces of words.

    Args:
        tokenizer: The tokenizer, whose ids stay.
        other: The tokenizer of further texts; its first entries are taken first.
        vocab_size: Maximum number of entries, special tokens included.
    """
    if not has_independent_entries(tokenizer):
        return tokenizer
    document = json.loads(tokenizer.to_str())
    entries = document["model"]["vocab"]
    added = other.get_vocab(with_added_tokens=False)
    new = [entry for entry in sorted(added, key=added.__getitem__) if entry not in entries]
    if inside_words(tokenizer).any():
        new = [entry for entry in new if not entry.startswith(CONTINUATION)]
        if END_OF_PIECES not in entries:
            new.insert(0, END_OF_PIECES)
    for entry in new[: max(0, vocab_size - len(entries))]:
        entries[entry] = len(entries)
    return Tokenizer.from_str(json.dumps(document, ensure_ascii=False))


def _train_words(
    texts: Iterable[str], steps: _Steps, limits: VocabLimits, pieces: int
) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenization.between_words()
    words = [
        word
        for word in _most_frequent(tokenizer, texts, limits)
        if len(word) <= MAX_WORD_CHARACTERS
    ]
    candidates = word_pieces(words, pieces) if pieces else []
    kept = words
    while True:
        known = set(kept)
        found = [piece for piece in candidates if piece not in known]
        left = words[: max(0, limits.room - len(found))]
        if len(left) == len(kept):
            break
        # A word that makes room for the pieces may be a piece itself, which then needs room too.
        kept = left
    # Without pieces, WordPiece looks up whole words, and every runtime has it.
    tokenizer.model = models.WordPiece(
        limits.numbered([*kept, *found]),
        unk_token=UNKNOWN,
        max_input_chars_per_word=MAX_WORD_CHARACTERS,
        continuing_subword_prefix=CONTINUATION,
    )
    return tokenizer


def _train_characters(texts: Iterable[str], steps: _Steps, limits: VocabLimits) -> Tokenizer:
    counting = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    counting.normalizer = normalizers.Sequence([*steps, *pre_tokenization.single_spaces()])
    counting.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    characters = limits.numbered(_most_frequent(counting, texts, limits))
    # BPE without merges splits into characters by itself, twice as fast as a pre-tokenizer.
    tokenizer = Tokenizer(models.BPE(characters, [], unk_token=UNKNOWN, cache_capacity=0))
    tokenizer.normalizer = counting.normalizer
    return tokenizer


def _most_frequent(tokenizer: Tokenizer, texts: Iterable[str], limits: VocabLimits) -> list[str]:
    """The most frequent tokens of texts, counted by the library, without special tokens."""
    trainer = trainers.WordLevelTrainer(
        vocab_size=limits.vocab_size,
        min_frequency=limits.min_frequency,
        special_tokens=list(limits.special_tokens),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return sorted(vocabulary, key=vocabulary.__getitem__)[len(limits.special_tokens) :]


def _train_subwords(texts: Iterable[str], steps: _Steps, limits: VocabLimits) -> Tokenizer:
    counts = BoundedCounter()
    splitter = pre_tokenization.WordSplitter(steps)
    for text in texts:
        counts.add(splitter.words(text))
    words = [(word.strip(" "), count) for word, count in counts.ranked()]
    tokenizer = Tokenizer(subwords.train_bpe(words, limits))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenization.between_words()
    return tokenizer


def _train_ngrams(
    texts: Iterable[str], steps: _Steps, limits: VocabLimits, ngram: int
) -> Tokenizer:
    counts = WordNgramCounts(ngram)
    splitter = pre_tokenization.WordSplitter(steps)
    for text in texts:
        counts.add(splitter.words(text))
    # No pre-tokenizer: runtimes disagree on adjacent unknown tokens of different pre-tokens.
    tokenizer = Tokenizer(counts.model(limits))
    tokenizer.normalizer = normalizers.Sequence([*steps, *pre_tokenization.word_marks()])
    return tokenizer
