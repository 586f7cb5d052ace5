"""The ONNX file and the tokenizer of a model folder, run the plain way: what every peer serves.

Imports onnxruntime, tokenizers and numpy, and nothing of Gatewise, so that it runs in the
environments of the peers. One thread, as the service has by default.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class LabelScore(TypedDict):
    """A label and how well it fits."""

    label: str
    score: float


class Model:
    """A classifier of one label a text.

    Args:
        folder: The model folder.
    """

    def __init__(self, folder: str) -> None:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        self.labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
        self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self._tokenizer.enable_truncation(config["max_position_embeddings"])
        self._tokenizer.enable_padding(pad_id=config["pad_token_id"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(Path(folder) / "onnx" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def scores(self, texts: Sequence[str]) -> list[list[float]]:
        """The probability of every label for each text."""
        encoded = self._tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": np.array([text.ids for text in encoded], dtype=np.int64),
            "attention_mask": np.array([text.attention_mask for text in encoded], dtype=np.int64),
        }
        (logits,) = self._session.run(["logits"], inputs)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores: list[list[float]] = (powers / powers.sum(axis=1, keepdims=True)).tolist()
        return scores

    def answers(self, texts: Sequence[str]) -> list[list[LabelScore]]:
        """Each text's labels and scores, best first, as Hugging Face's clients expect them."""
        return [
            sorted(
                (
                    LabelScore(label=label, score=score)
                    for label, score in zip(self.labels, row, strict=True)
                ),
                key=lambda each: -each["score"],
            )
            for row in self.scores(texts)
        ]
