"""The dictionary: every token of the training corpus and its id, kept in `tokenizer.json`.

Owns how text is normalized and cut into tokens. The recipe uses only those parts of Hugging Face
`tokenizers` that JavaScript runtimes cut in the same way, so one file serves every runtime.
Knows neither files of data nor labels.

Tokens are words, pieces of words, or characters. Which characters stand alone and which are
dropped is in `vocab.characters`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from vocab import characters
from vocab.errors import DictionaryError

Unit = Literal["word", "subword", "character"]

PAD, UNKNOWN, BEGIN = "[PAD]", "[UNK]", "[CLS]"
PAD_ID, UNKNOWN_ID, BEGIN_ID = 0, 1, 2
SPECIAL_TOKENS = (PAD, UNKNOWN, BEGIN)

_MAX_WORD_CHARACTERS = 100


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


def train(
    texts: Iterable[str],
    *,
    unit: Unit = "word",
    vocab_size: int = 20_000,
    min_frequency: int = 1,
    lowercase: bool = True,
) -> Tokenizer:
    """Builds the dictionary of a corpus.

    Args:
        texts: The training texts; they are read once, in a stream.
        unit: What a token is.
        vocab_size: Most tokens kept, special ones included; the most frequent stay.
        min_frequency: Tokens seen fewer times are left out; a subword dictionary keeps every
            single character all the same.
        lowercase: Whether upper and lower case are one.

    Raises:
        DictionaryError: If no token is left, or `vocab_size` has no room for the characters of a
            subword dictionary.
    """
    tokenizer = _untrained(unit, lowercase)
    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "min_frequency": min_frequency,
        "special_tokens": list(SPECIAL_TOKENS),
        "show_progress": False,
    }
    if unit == "subword":
        # Plain byte-pair merges: the trainers of WordPiece, and of merges with a mark for a word's
        # start or end, number their pieces in another order at each run.
        tokenizer.model = models.BPE(unk_token=UNKNOWN)
        tokenizer.train_from_iterator(texts, trainers.BpeTrainer(**options))
    elif unit == "word":
        tokenizer.model = models.WordLevel(unk_token=UNKNOWN)
        tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(**options))
        tokenizer.model = _model_of_words(tokenizer.get_vocab())
    else:
        counting = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        counting.normalizer = tokenizer.normalizer
        counting.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        counting.train_from_iterator(texts, trainers.WordLevelTrainer(**options))
        tokenizer.model = _model_of_characters(counting.get_vocab())
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    size = tokenizer.get_vocab_size()
    if size > vocab_size:
        # Byte-pair merges start from every character of the corpus, however rare.
        raise DictionaryError(
            f"the corpus has {size - len(SPECIAL_TOKENS):,} different characters, more than "
            f"tokens.vocab_size={vocab_size} has room for: raise it"
        )
    if size <= len(SPECIAL_TOKENS):
        raise DictionaryError(
            f"no {unit} occurs {min_frequency} times or more: lower tokens.min_frequency"
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B:1", special_tokens=[(BEGIN, BEGIN_ID)]
    )
    return tokenizer


def serialize(tokenizer: Tokenizer) -> bytes:
    """The contents of `tokenizer.json`, the same bytes for the same dictionary."""
    return (tokenizer.to_str(pretty=True) + "\n").encode()


def parse(contents: bytes) -> Tokenizer:
    """Reads what `serialize` wrote.

    Raises:
        DictionaryError: If it is no dictionary, or not one that Gatewise trained.
    """
    try:
        tokenizer = Tokenizer.from_buffer(contents)
    except Exception as error:  # the Rust side raises Exception itself
        raise DictionaryError(f"not a tokenizer: {error}") from None
    expected = list(range(len(SPECIAL_TOKENS)))
    if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != expected:
        raise DictionaryError(
            f"expected the special tokens {', '.join(SPECIAL_TOKENS)} with the ids 0, 1 and 2: "
            "this dictionary was not trained by Gatewise"
        )
    # What a batch is padded with, and where a text is cut, is not the dictionary's to say.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    try:
        mark = tokenizer.encode("").ids
    except Exception as error:  # the Rust side raises Exception itself
        raise DictionaryError(f"the tokenizer cannot encode a text: {error}") from None
    if mark != [BEGIN_ID]:
        raise DictionaryError(
            f"expected an empty text to give the begin mark {[BEGIN_ID]} alone, received {mark}: "
            "this dictionary was not trained by Gatewise"
        )
    return tokenizer


def coverage(tokenizer: Tokenizer, texts: Iterable[str]) -> Coverage:
    """Counts how many tokens of a corpus the dictionary knows."""
    counted = tokens = unknown = 0
    for window in _windows(texts):
        for encoding in tokenizer.encode_batch_fast(window, add_special_tokens=False):
            ids = encoding.ids
            counted += 1
            tokens += len(ids)
            unknown += ids.count(UNKNOWN_ID)
    return Coverage(texts=counted, tokens=tokens, known=tokens - unknown)


def _untrained(unit: Unit, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(_model_of_characters({}))
    steps: list[normalizers.Normalizer] = [normalizers.Replace(Regex(characters.dropped()), "")]
    if lowercase:
        # JavaScript lower-cases a final sigma to another letter than Rust does.
        steps += [normalizers.Replace("Σ", "σ"), normalizers.Lowercase()]
    if unit == "character":
        # No pre-tokenizer: the text is one stretch, which the model takes apart by itself.
        steps.append(normalizers.Replace(Regex(characters.white_space() + "+"), " "))
        steps.append(normalizers.Replace(Regex("^ | $"), ""))
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(characters.white_space() + "+"), "removed"),
                pre_tokenizers.Split(Regex(characters.standing_alone()), "isolated"),
            ]
        )
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _model_of_words(vocabulary: dict[str, int]) -> models.WordPiece:
    """Whole words only: WordPiece without continuation pieces, which every runtime has."""
    return models.WordPiece(
        vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_MAX_WORD_CHARACTERS
    )


def _model_of_characters(vocabulary: dict[str, int]) -> models.BPE:
    """Characters only: byte-pair encoding without merges, twice as fast as cutting by a rule."""
    return models.BPE(vocabulary, [], unk_token=UNKNOWN, cache_capacity=0)


def _windows(texts: Iterable[str], size: int = 4096) -> Iterator[list[str]]:
    window: list[str] = []
    for text in texts:
        window.append(text)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window
