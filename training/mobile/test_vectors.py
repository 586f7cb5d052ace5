"""Test vectors: texts with the ids and scores that a port of the model must give for them.

Some texts are edge cases, the others random sequences of vocabulary entries; none is from a corpus.
The same model always has the same vectors.
"""

import random
from typing import Any

from gatewise.service.model.classifier import Classifier
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


def vectors_of(classifier: Classifier) -> dict[str, Any]:
    """The contents of `test_vectors.json`.

    `labels` in the order of the scores, `score_function`, and `vectors`: texts with at least one
    token, each with its `input_ids` and the probability of each label as `scores`.
    """
    texts = [*_EDGE_CASES, *_random_texts(classifier)]
    pairs = zip(texts, classifier.encode(texts), strict=True)
    known = [(text, encoded) for text, encoded in pairs if not encoded.is_empty]
    scores = classifier.probabilities([encoded for _, encoded in known])
    return {
        "labels": classifier.classes_,
        "score_function": classifier.score_function,
        "vectors": [
            {
                "text": text,
                "input_ids": encoded.ids.tolist(),
                # The shortest decimals that read back to the same 32-bit float.
                "scores": [float(str(score)) for score in row],
            }
            for (text, encoded), row in zip(known, scores, strict=True)
        ],
    }


def _random_texts(classifier: Classifier) -> list[str]:
    entries = classifier.artifact.tokenizer.get_vocab(with_added_tokens=False)
    known = sorted(entry for entry in entries if entry not in SPECIAL_TOKENS)
    generator = random.Random(1)  # noqa: S311 — not for cryptography
    return [
        " ".join(generator.choices(known, k=generator.randint(1, _MAX_ENTRIES)))
        for _ in range(_RANDOM_TEXTS)
    ]
