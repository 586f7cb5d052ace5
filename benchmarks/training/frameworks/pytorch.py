"""The network in PyTorch as it is usually written: packed sequences, and batches in random order.

Initial values are drawn as Keras draws them, so that all frameworks begin alike.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from benchmarks.training.frameworks.shared import (
    EncodedTexts,
    EpochTimer,
    Recipe,
    TrainingRun,
    batches_by_length,
    random_batches,
)

Batches = Callable[[EncodedTexts, int, int], list[NDArray[np.int64]]]
"""One epoch's batches of so many texts, by a seed."""


class Network(nn.Module):  # type: ignore[misc]
    """Token ids and lengths to logits."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        layer = nn.LSTM if recipe.cell == "lstm" else nn.GRU
        self.embedding = nn.Embedding(recipe.vocab_size, recipe.embedding_size)
        self.recurrent = layer(
            recipe.embedding_size, recipe.units, batch_first=True, bidirectional=True
        )
        self.dropout = nn.Dropout(recipe.dropout)
        self.classifier = nn.Linear(2 * recipe.units, recipe.classes)
        self._begin_as_keras(recipe)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """See the class; the last state of each direction, at each text's own end."""
        vectors = pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, last = self.recurrent(vectors)
        state = last[0] if isinstance(last, tuple) else last
        return self.classifier(self.dropout(torch.cat((state[0], state[1]), dim=1)))

    def _begin_as_keras(self, recipe: Recipe) -> None:
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        for name, weight in self.recurrent.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(weight)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(weight)
            else:
                nn.init.zeros_(weight)
                if recipe.cell == "lstm" and name.startswith("bias_ih"):
                    nn.init.ones_(weight[recipe.units : 2 * recipe.units])


def fit(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches in random order, padded to their longest text."""
    return _fit(recipe, train, test, random_batches)


def fit_by_length(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches of texts of similar length."""
    return _fit(recipe, train, test, batches_by_length)


def fit_on_one_thread(recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Batches in random order; products this small may be slower for being shared out."""
    torch.set_num_threads(1)
    return fit(recipe, train, test)


def _fit(recipe: Recipe, train: EncodedTexts, test: EncodedTexts, batches: Batches) -> TrainingRun:
    torch.manual_seed(recipe.seed)
    network = Network(recipe)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, eps=1e-7
    )
    epochs = EpochTimer()
    network.train()
    for number in range(recipe.epochs):
        with epochs.epoch():
            for rows in batches(train, recipe.batch_size, recipe.seed * 1000 + number):
                ids, lengths, targets = _batch(train, rows)
                loss = nn.functional.cross_entropy(network(ids, lengths), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()  # the loss of every update is read, as it is elsewhere
    parameters = sum(weight.numel() for weight in network.parameters())
    return epochs.run(_accuracy(network, test), parameters)


def _batch(
    texts: EncodedTexts, rows: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = [torch.from_numpy(text) for text in texts.texts(rows)]
    lengths = torch.tensor([len(text) for text in ids])
    targets = torch.from_numpy(texts.targets[rows].astype(np.int64))
    return pad_sequence(ids, batch_first=True), lengths, targets


def _accuracy(network: Network, test: EncodedTexts) -> float:
    network.eval()
    right = 0
    with torch.no_grad():
        for rows in test.batches(256):
            ids, lengths, targets = _batch(test, rows)
            right += int((network(ids, lengths).argmax(dim=1) == targets).sum())
    return right / len(test)
