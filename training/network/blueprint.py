"""What a network is built from: its sizes, the character n-grams of its tokens, their vectors.

TensorFlow is not imported: a network that cannot be built is refused before a text is encoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from gatewise.training.config.config import Config
from gatewise.training.network import parameters, vectors
from gatewise.training.network.char_ngrams import CharNgrams, char_ngrams
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors


@dataclass(frozen=True)
class Blueprint:
    """What a network is built from, besides its settings; vectors and n-grams only if used."""

    shape: Shape
    vectors: Vectors | None = None
    char_ngrams: CharNgrams | None = None

    def with_buckets(self, config: Config, tokens: int) -> "Blueprint":
        """The blueprint with the n-gram buckets that suit so many tokens of training texts.

        Raises:
            ConfigError: If no model folder could hold the network.
        """
        width = config.network.width_of_ngrams(self.shape.classes)
        shape = replace(self.shape, buckets=config.network.ngram_buckets(tokens, width))
        parameters.check_size(config.network, config.tokens, shape)
        return replace(self, shape=shape)


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
        ngram_width=network.width_of_ngrams(classes),
    )
    smallest = Blueprint(shape).with_buckets(config, 0)
    lengths = network.spelling_lengths(unit)
    return replace(
        smallest,
        char_ngrams=char_ngrams(tokenizer, lengths) if lengths else None,
        vectors=vectors.load(
            network.vectors, tokenizer, network.embedding_size, config.training.seed, texts
        )
        if network.vectors
        else None,
    )
