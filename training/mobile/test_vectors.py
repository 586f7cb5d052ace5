"""Test vectors: texts with the ids and scores that a port of the model must give for them.

Some texts are edge cases, the others random sequences of vocabulary entries; none is from a corpus.
Of a model of sequences they are random numbers of the scale that it was trained on, some missing.
The same model always has the same vectors.
"""

import json
import random
from typing import Any

import numpy as np
import onnx

from gatewise.service.model.classifier import Classifier
from gatewise.training.mobile.onnx_parts import OnnxParts
from gatewise.training.onnx_export.graph_builder import DEVIATION, MEAN
from gatewise.vocab.corpus.sequences import as_json
from gatewise.vocab.tokenizer.encoding import Encoded
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
_MAX_NUMBERS = 2_000


def vectors_of(classifier: Classifier) -> dict[str, Any]:
    """The contents of `test_vectors.json`.

    `labels` in the order of the scores, `score_function`, and `vectors`: texts with at least one
    token, each with its `input_ids` and the probability of each label as `scores`; or each a
    `sequence`, as JSON has it, and its `scores`.
    """
    if classifier.encoding.features:
        return _document(classifier, _sequences(classifier))
    texts = [*_EDGE_CASES, *_random_texts(classifier)]
    pairs = zip(texts, classifier.encode(texts), strict=True)
    known = [(text, encoded) for text, encoded in pairs if not encoded.is_empty]
    vectors = [({"text": text, "input_ids": each.ids.tolist()}, each) for text, each in known]
    return _document(classifier, vectors)


def _document(
    classifier: Classifier, inputs: list[tuple[dict[str, Any], Encoded]]
) -> dict[str, Any]:
    """The document of inputs, each as the document shows it and as the network reads it."""
    scores = classifier.probabilities([encoded for _, encoded in inputs])
    return {
        "labels": classifier.classes_,
        "score_function": classifier.score_function,
        "vectors": [
            # The shortest decimals that read back to the same 32-bit float.
            {**shown, "scores": [float(str(score)) for score in row]}
            for (shown, _), row in zip(inputs, scores, strict=True)
        ],
    }


def _sequences(classifier: Classifier) -> list[tuple[dict[str, Any], Encoded]]:
    """Sequences of one step and more, one without a number, and one longer than is read.

    A longer one is left out where the model reads very many numbers.
    """
    network = OnnxParts(onnx.load_from_string(classifier.artifact.model))
    tokens = classifier.artifact.config.gatewise.tokens
    generator = np.random.default_rng(1)
    longest = tokens.max_length + 1
    lengths = [1, *generator.integers(1, _MAX_ENTRIES, _RANDOM_TEXTS)]
    if longest * tokens.features <= _MAX_NUMBERS:
        lengths.append(longest)
    sequences = [np.full((2, tokens.features), np.nan, dtype=np.float32)]
    for steps in lengths:
        drawn = generator.normal(network[MEAN], network[DEVIATION], (steps, tokens.features))
        drawn[generator.random(drawn.shape) < 0.05] = np.nan
        sequences.append(drawn.astype(np.float32))
    shown = ({"sequence": json.loads(as_json(sequence))} for sequence in sequences)
    return list(zip(shown, classifier.encode(sequences), strict=True))


def _random_texts(classifier: Classifier) -> list[str]:
    entries = classifier.artifact.tokenizer.get_vocab(with_added_tokens=False)
    known = sorted(entry for entry in entries if entry not in SPECIAL_TOKENS)
    generator = random.Random(1)  # noqa: S311 — not for cryptography
    return [
        " ".join(generator.choices(known, k=generator.randint(1, _MAX_ENTRIES)))
        for _ in range(_RANDOM_TEXTS)
    ]
