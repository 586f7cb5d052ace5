"""What a network is built from: its sizes, the character n-grams of its tokens, their vectors.

Of sequences of numbers it is their scale.

TensorFlow is not imported: a network that cannot be built is refused before a text is encoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from gatewise.training.config.config import Config
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network import parameters, vectors
from gatewise.training.network.char_ngrams import CharNgrams, char_ngrams
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from gatewise.training.network.word_splits import WordSplits, word_splits

_SOLVER_LENGTHS = (2, 3, 4, 5)
"""Lengths of the character n-grams by which the linear path is solved."""

_SOLVER_NGRAMS = 100
"""N-grams used of one token, its first ones, where the linear path is solved."""


@dataclass(frozen=True)
class Blueprint:
    """What a network is built from, besides its settings.

    Attributes:
        shape: The sizes that follow from the corpus.
        vectors: Pretrained vectors; None without.
        char_ngrams: The character n-grams of each token; None if they are not used.
        solver_spelling: Those by which the linear path is solved; None if they are not used.
        word_splits: The pieces of the dictionary's words; None if it has none.
        scale: How the numbers of sequences are standardized; None for texts.
    """

    shape: Shape
    vectors: Vectors | None = None
    char_ngrams: CharNgrams | None = None
    solver_spelling: CharNgrams | None = None
    word_splits: WordSplits | None = None
    scale: FeatureScale | None = None

    def with_buckets(self, config: Config, tokens: int) -> "Blueprint":
        """The blueprint with the n-gram buckets that suit so many tokens of training texts.

        Raises:
            ConfigError: If no model folder could hold the network.
        """
        width = _ngram_width(config, self.shape.classes)
        shape = replace(self.shape, buckets=config.network.ngram_buckets(tokens, width))
        parameters.check_size(config.network, config.tokens, shape)
        return replace(self, shape=shape)


def sequence_blueprint(
    config: Config, features: int, classes: int, sequences: Iterable[str]
) -> Blueprint:
    """The blueprint of a network that reads sequences of numbers.

    Raises:
        ConfigError: If no model folder could hold the network.
    """
    shape = Shape(vocab_size=0, classes=classes, ngrams=(), features=features)
    parameters.check_size(config.network, config.tokens, shape)
    is_scaled = config.sequence.scale == "standard"
    scale = FeatureScale.of(sequences) if is_scaled else FeatureScale.none(features)
    return Blueprint(shape, scale=scale)


def blueprint(
    config: Config, tokenizer: Tokenizer, classes: int, texts: Iterable[str]
) -> Blueprint:
    """The blueprint of a network, with the fewest n-gram buckets that it may have.

    The training texts are read only if a sentence encoder gives the vectors.

    Raises:
        ConfigError: If no model folder could hold the network.
        VectorsError: If the pretrained vectors cannot be used.
    """
    network, unit = config.network, config.tokens.unit
    shape = Shape(
        vocab_size=tokenizer.get_vocab_size(),
        classes=classes,
        ngrams=network.ngram_lengths(unit),
        ngram_width=_ngram_width(config, classes),
    )
    smallest = Blueprint(shape).with_buckets(config, 0)
    lengths = network.spelling_lengths(unit)
    return replace(
        smallest,
        char_ngrams=char_ngrams(tokenizer, lengths) if lengths else None,
        solver_spelling=char_ngrams(tokenizer, _SOLVER_LENGTHS, _SOLVER_NGRAMS)
        if lengths and config.training.linear_path == "solved"
        else None,
        word_splits=word_splits(tokenizer),
        vectors=vectors.load(
            network.vectors, tokenizer, network.embedding_size, config.training.seed, texts
        )
        if network.vectors
        else None,
    )


def _ngram_width(config: Config, classes: int) -> int:
    solved = config.training.linear_path == "solved"
    return config.network.width_of_ngrams(classes, solved=solved)
