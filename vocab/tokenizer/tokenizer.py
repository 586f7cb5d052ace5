"""The dictionary: every token of the training corpus and its id, kept in `tokenizer.json`.

Owns which parts a dictionary is made of, and what is read back. The recipe uses only those parts
of Hugging Face `tokenizers` that JavaScript runtimes cut in the same way, so one file serves every
runtime. Knows neither files of data nor labels.

Tokens are words, pieces of words, characters, or a few words. How a text is cleaned and cut into
words is in `gatewise.vocab.tokenizer.pre_tokenization`, how pieces are found in
`gatewise.vocab.tokenizer.subwords`, phrases in `gatewise.vocab.tokenizer.word_ngrams`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer import pre_tokenization, subwords
from gatewise.vocab.tokenizer.bounded_counter import BoundedCounter
from gatewise.vocab.tokenizer.tokenizer_schema import TokenizerSchema
from gatewise.vocab.tokenizer.vocab_limits import VocabLimits
from gatewise.vocab.tokenizer.word_ngrams import WordNgramCounts
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

Unit = Literal["word", "subword", "character", "ngram"]
Accents = Literal["keep", "strip"]
Normalization = pre_tokenization.Form

PAD, UNKNOWN, CLS = "[PAD]", "[UNK]", "[CLS]"
PAD_ID, UNKNOWN_ID, CLS_ID = 0, 1, 2
SPECIAL_TOKENS = (PAD, UNKNOWN, CLS)

_RECIPE = TokenizerSchema(SPECIAL_TOKENS, UNKNOWN, CLS)


@dataclass(frozen=True)
class Coverage:
    """How much of a corpus a dictionary knows.

    Attributes:
        texts: Texts counted.
        tokens: Tokens in them, the begin marks not counted.
        known: Tokens that are in the dictionary.
    """

    texts: int
    tokens: int
    known: int

    @property
    def share(self) -> float:
        """Share of tokens that are in the dictionary."""
        return self.known / self.tokens if self.tokens else 0.0


def train_tokenizer(
    texts: Iterable[str],
    *,
    unit: Unit = "word",
    vocab_size: int = 20_000,
    min_frequency: int = 1,
    lowercase: bool = True,
    ngram: int = 2,
    accents: Accents = "keep",
    normalization: Normalization = "none",
) -> Tokenizer:
    """Builds the dictionary of a corpus.

    Args:
        texts: The training texts; they are read once, in a stream.
        unit: What a token is.
        vocab_size: Most tokens kept, special ones included; the most frequent stay.
        min_frequency: Tokens seen fewer times are left out.
        lowercase: Whether upper and lower case are one.
        ngram: Most words of a token, if tokens are a few words.
        accents: Whether accents on Latin, Greek and Cyrillic letters count.
        normalization: The Unicode normalization form that a text is brought into.

    Raises:
        TokenizerError: If no token is left.
    """
    sizes = VocabLimits(vocab_size, min_frequency, SPECIAL_TOKENS, UNKNOWN)
    steps = pre_tokenization.cleaning(
        lowercase=lowercase, strip_accents=accents == "strip", form=normalization
    )
    if not lowercase:
        # JavaScript takes a text for a special token that is one only after cleaning.
        steps += [
            normalizers.Replace(token, pre_tokenization.escape_special_token(token))
            for token in SPECIAL_TOKENS
        ]
    if unit == "word":
        tokenizer = _of_words(texts, steps, sizes)
    elif unit == "character":
        tokenizer = _of_characters(texts, steps, sizes)
    elif unit == "subword":
        tokenizer = _of_subwords(texts, steps, sizes)
    else:
        tokenizer = _of_phrases(texts, steps, sizes, ngram)
    if tokenizer.get_vocab_size() <= len(SPECIAL_TOKENS):
        raise TokenizerError(
            f"no {unit} occurs {min_frequency} times or more: lower tokens.min_frequency"
        )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A", pair=f"{CLS} $A $B:1", special_tokens=[(CLS, CLS_ID)]
    )
    return tokenizer


def serialize_tokenizer(tokenizer: Tokenizer, *, pretty: bool = True) -> bytes:
    """The contents of `tokenizer.json`, the same bytes for the same dictionary.

    Args:
        tokenizer: The dictionary.
        pretty: Whether people read it: without, a third of it is saved.
    """
    return (tokenizer.to_str(pretty=pretty) + "\n").encode()


def reduce_tokenizer(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """A dictionary with some of its entries alone, numbered anew in their order.

    A text gives the same tokens as before, those that are gone as unknown ones.

    Args:
        tokenizer: The whole dictionary, of words or characters: entries that are found piece by
            piece cannot be left out one by one.
        kept: Ids of the entries that stay, ascending, the special ones among them.

    Raises:
        TokenizerError: If its entries depend on each other.
    """
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if not has_whole_entries(tokenizer):
        raise TokenizerError(
            f"entries of a {model['type']} dictionary depend on each other: none can be left out; "
            "train with tokens.unit=word or tokens.unit=character, or with a lower "
            "tokens.vocab_size"
        )
    numbers = {old: new for new, old in enumerate(kept)}
    model["vocab"] = {
        entry: numbers[old]
        for entry, old in sorted(model["vocab"].items(), key=lambda item: item[1])
        if old in numbers
    }
    return Tokenizer.from_str(json.dumps(document, ensure_ascii=False))


def has_whole_entries(tokenizer: Tokenizer) -> bool:
    """Whether an entry is found as a whole, whatever other entries there are."""
    model = json.loads(tokenizer.to_str())["model"]
    return bool(model["type"] == "WordPiece" or model.get("merges") == [])


def parse_tokenizer(contents: bytes) -> Tokenizer:
    """Reads what `serialize` wrote, each part of it looked at before the library sees it.

    Raises:
        TokenizerError: If it is no dictionary, or not one that Gatewise trained.
    """
    try:
        tokenizer = Tokenizer.from_buffer(_RECIPE.check(contents))
    except TokenizerError:
        raise
    except Exception as error:  # the Rust side raises Exception itself
        reason = " ".join(str(error).split())[:300]
        raise TokenizerError(f"not a tokenizer: {reason}") from None
    expected = list(range(len(SPECIAL_TOKENS)))
    if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != expected:
        raise TokenizerError(
            f"expected the special tokens {', '.join(SPECIAL_TOKENS)} with the ids 0, 1 and 2: "
            "this dictionary was not trained by Gatewise"
        )
    return tokenizer


def measure_coverage(tokenizer: Tokenizer, texts: Iterable[str]) -> Coverage:
    """Counts how many tokens of a corpus the dictionary knows."""
    counted = tokens = unknown = 0
    for window in _windows(texts):
        for encoding in tokenizer.encode_batch_fast(window, add_special_tokens=False):
            ids = encoding.ids
            counted += 1
            tokens += len(ids)
            unknown += ids.count(UNKNOWN_ID)
    return Coverage(texts=counted, tokens=tokens, known=tokens - unknown)


_Steps = list[normalizers.Normalizer]


def _of_words(texts: Iterable[str], steps: _Steps, sizes: VocabLimits) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenization.between_words()
    words = [
        word
        for word in _counted_by_library(tokenizer, texts, sizes)
        if len(word) <= subwords.MAX_WORD_CHARACTERS
    ]
    tokenizer.model = subwords.whole_entries(sizes.numbered(words), sizes)
    return tokenizer


def _of_characters(texts: Iterable[str], steps: _Steps, sizes: VocabLimits) -> Tokenizer:
    counting = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    counting.normalizer = normalizers.Sequence([*steps, *pre_tokenization.single_spaces()])
    counting.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    characters = sizes.numbered(_counted_by_library(counting, texts, sizes))
    # Merging without a merge, twice as fast as cutting by a rule; the text is one stretch, which
    # the model takes apart by itself.
    tokenizer = Tokenizer(models.BPE(characters, [], unk_token=UNKNOWN, cache_capacity=0))
    tokenizer.normalizer = counting.normalizer
    return tokenizer


def _counted_by_library(
    tokenizer: Tokenizer, texts: Iterable[str], sizes: VocabLimits
) -> list[str]:
    """What a tokenizer cuts texts into, the most frequent first, special tokens left out."""
    options: dict[str, Any] = {"vocab_size": sizes.vocab_size, "min_frequency": sizes.min_frequency}
    trainer = trainers.WordLevelTrainer(
        special_tokens=list(sizes.special_tokens), show_progress=False, **options
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return sorted(vocabulary, key=vocabulary.__getitem__)[len(sizes.special_tokens) :]


def _of_subwords(texts: Iterable[str], steps: _Steps, sizes: VocabLimits) -> Tokenizer:
    counts = BoundedCounter()
    reader = pre_tokenization.WordReader(steps)
    for text in texts:
        counts.add(reader.words(text))
    words = [(word.strip(" "), count) for word, count in counts.ranked()]
    tokenizer = Tokenizer(subwords.bpe(words, sizes))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenization.between_words()
    return tokenizer


def _of_phrases(texts: Iterable[str], steps: _Steps, sizes: VocabLimits, ngram: int) -> Tokenizer:
    counts = WordNgramCounts(ngram)
    reader = pre_tokenization.WordReader(steps)
    for text in texts:
        counts.add(reader.words(text))
    # One stretch: runtimes do not agree on unknown tokens side by side in several stretches.
    tokenizer = Tokenizer(counts.model(sizes))
    tokenizer.normalizer = normalizers.Sequence([*steps, *pre_tokenization.word_marks()])
    return tokenizer


def _windows(texts: Iterable[str], size: int = 4096) -> Iterator[list[str]]:
    window: list[str] = []
    for text in texts:
        window.append(text)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window
