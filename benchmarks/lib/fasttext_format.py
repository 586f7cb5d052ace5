"""Rows as fastText reads them, words separated by spaces, and the accuracy of its models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import normalizers, pre_tokenizers

from benchmarks.lib.corpora import Rows

_NORMALIZER = normalizers.BertNormalizer(strip_accents=False)
_PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()


def words(text: str) -> list[str]:
    """The words of a text as BERT's pre-tokenizer finds them, in lower case.

    >>> words("It's 2D: 巅峰")
    ['it', "'", 's', '2d', ':', '巅', '峰']
    """
    normalized = _NORMALIZER.normalize_str(text)
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(normalized)]


def fasttext_ids(train: Rows) -> dict[str, str]:
    """The name of each label in fastText's files: labels may hold spaces there."""
    names = sorted({label for labels in train.labels for label in labels})
    return {name: f"__label__{number}" for number, name in enumerate(names)}


def fasttext_file(path: Path, rows: Rows, ids: Mapping[str, str]) -> Path:
    """Writes rows as fastText reads them: a line for each text, its labels first."""
    with path.open("w", encoding="utf-8") as file:
        for text, labels in zip(rows.texts, rows.labels, strict=True):
            file.write(f"{' '.join([*(ids[label] for label in labels), *words(text)])}\n")
    return path


def fasttext_accuracy(model: Any, rows: Rows, ids: Mapping[str, str]) -> float:
    """Share of the rows that a model of fastText gives their label."""
    answers, _ = model.predict([" ".join(words(text)) for text in rows.texts])
    pairs = zip(answers, rows.labels, strict=True)
    return float(np.mean([bool(answer) and answer[0] == ids[label] for answer, (label,) in pairs]))
