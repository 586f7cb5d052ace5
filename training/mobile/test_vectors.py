"""Test vectors: texts with the ids and scores that a port of the model must give for them.

Some texts are edge cases, the others random sequences of vocabulary entries; none is from a corpus.
The same model always has the same vectors.
"""

import random
from dataclasses import dataclass

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ScoreFunction
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS

_EDGE_CASES = (
    "a",
    "Hello, world!",
    "  spaces   and\ttabs\nand\u00a0more\u2003",
    "ÀÉÎÕÜ àéîõü ß ẞ ſ ﬁ",
    "ΟΔΥΣΣΕΥΣ όδος ΣΣ",
    "İstanbul ıI",
    "e\u0301 n\u0303 o\u0308",
    "Ａｂｃ１２３！",
    "zero\u200bwidth\u200djoiner\ufeff",
    "control\u0001\u007f\u0085characters",
    "👩\u200d👩\u200d👧 🇩🇪 👍🏽 ❤\ufe0f",
    "שלום עולם مرحبا بالعالم",
    "สวัสดีชาวโลก",
    "你好，世界。我今天很高兴！",
    "안녕하세요 세계 \u1112\u1161\u11ab",
    "こんにちは 世界 ｶﾞ",
    "𝔸𝕓𝕔 𐐀𐐨 𠜎",
    "'quotes' “curly” — dashes… (brackets) [x] {y} <z>",
    "e-mail@example.com https://example.com/a?b=c&d=1#e",
    "1,234.56 ½ ² 10% $5 €6",
)
_RANDOM_TEXTS, _MAX_ENTRIES = 40, 30


@dataclass(frozen=True)
class TestVector:
    """One text with its ids and scores.

    Attributes:
        text: The text.
        input_ids: Its token ids.
        scores: The probability of each label, in the order of the labels.
    """

    __test__ = False  # for pytest, which collects classes by this name

    text: str
    input_ids: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class TestVectors:
    """The test vectors of a model.

    Attributes:
        labels: The labels in the order of the scores.
        score_function: The function from logits to scores.
        vectors: Texts, each with at least one token.
    """

    __test__ = False

    labels: tuple[str, ...]
    score_function: ScoreFunction
    vectors: tuple[TestVector, ...]


def vectors_of(classifier: Classifier) -> TestVectors:
    """The test vectors of a model."""
    texts = [*_EDGE_CASES, *_random_texts(classifier)]
    encoded = classifier.encode(texts)
    known = [index for index, each in enumerate(encoded) if not each.is_empty]
    scores = classifier.probabilities([encoded[index] for index in known])
    return TestVectors(
        labels=tuple(classifier.classes_),
        score_function=classifier.score_function,
        vectors=tuple(
            TestVector(
                texts[index],
                tuple(encoded[index].ids.tolist()),
                # The shortest decimals that read back to the same 32-bit float.
                tuple(float(str(score)) for score in row),
            )
            for index, row in zip(known, scores, strict=True)
        ),
    )


def _random_texts(classifier: Classifier) -> list[str]:
    entries = classifier.artifact.tokenizer.get_vocab(with_added_tokens=False)
    known = sorted(entry for entry in entries if entry not in SPECIAL_TOKENS)
    generator = random.Random(1)  # noqa: S311 — not for cryptography
    return [
        " ".join(generator.choices(known, k=generator.randint(1, _MAX_ENTRIES)))
        for _ in range(_RANDOM_TEXTS)
    ]
