"""Answers the questions of one file with optimum and writes the answers into another.

    python optimum_script.py QUESTIONS ANSWERS

Runs in an environment of its own, which has optimum and no Gatewise, and imports nothing of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer

_BATCH = 16


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The ids and the scores of each text, in batches of texts of similar length."""
    folder, texts = question["model"], question["texts"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, truncation=True)["input_ids"]
    if question["dtype"] is None:
        return {"ids": ids, "scores": None}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    subfolder, name = question["file"].split("/")
    model = ORTModelForSequenceClassification.from_pretrained(
        folder, subfolder=subfolder, file_name=name, session_options=options
    )
    labels = [model.config.id2label[number] for number in range(len(question["labels"]))]
    if labels != question["labels"]:
        raise ValueError(f"expected the labels {question['labels']}, received {labels}")
    scores = np.empty((len(texts), len(labels)), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda number: len(ids[number]))
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            batch = [texts[row] for row in rows]
            inputs = tokenizer(batch, truncation=True, padding=True, return_tensors="pt")
            logits = model(**inputs).logits.double()
            several = model.config.problem_type == "multi_label_classification"
            found = logits.sigmoid() if several else logits.softmax(dim=-1)
            scores[rows] = found.float().numpy()
    return {"ids": ids, "scores": scores.tolist()}


def main() -> None:
    """Answers every question."""
    questions, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    found = [
        {"optimum": answer(question)}
        for question in json.loads(questions.read_text(encoding="utf-8"))
    ]
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
