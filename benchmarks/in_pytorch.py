"""The network in PyTorch as it is usually written: packed sequences, and batches in random order.

First values are those of Keras, so that all frameworks begin alike; or all values are given. Knows
neither TensorFlow nor Gatewise.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from recipe import Encoded, Epochs, Recipe, Trained, batches_by_length
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence


class Network(nn.Module):  # type: ignore[misc]
    """Token ids and lengths to logits; without lengths, of texts that need no padding."""

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

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """See the class; the last state of each direction, at each text's own end."""
        vectors = self.embedding(ids)
        if lengths is not None:
            vectors = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
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


def with_weights(recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> Network:
    """The network with the weights of Keras's layers, ready to answer.

    Keras's gates z, r, h of a GRU are r, z, n here; those of an LSTM stand in the same order.

    Args:
        recipe: Its sizes.
        weights: As `keras.Model.get_weights` gives them: the vectors; kernel, recurrent kernel and
            bias of either direction, of a GRU that resets after the product; the last layer's.
    """
    vectors, *recurrent, kernel, bias = map(torch.from_numpy, weights)

    def ordered(gates: torch.Tensor) -> torch.Tensor:
        if recipe.cell == "lstm":
            return gates
        update, reset, new = gates.split(recipe.units)
        return torch.cat((reset, update, new))

    network = Network(recipe)
    network.eval()
    state = {"embedding.weight": vectors, "classifier.weight": kernel.T, "classifier.bias": bias}
    for number, end in enumerate(("l0", "l0_reverse")):
        of_inputs, of_states, biases = recurrent[3 * number : 3 * number + 3]
        if recipe.cell == "lstm":
            biases = torch.stack((biases, torch.zeros_like(biases)))
        state[f"recurrent.weight_ih_{end}"] = ordered(of_inputs.T)
        state[f"recurrent.weight_hh_{end}"] = ordered(of_states.T)
        state[f"recurrent.bias_ih_{end}"] = ordered(biases[0])
        state[f"recurrent.bias_hh_{end}"] = ordered(biases[1])
    network.load_state_dict(state)
    return network


def in_eight_bits(network: Network) -> nn.Module:
    """The network with PyTorch's own dynamic 8-bit integers in its recurrent and its last layer."""
    with warnings.catch_warnings():
        # PyTorch has announced that both this and its quantized tensors will go.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", ".*deprecated", UserWarning)
        return torch.ao.quantization.quantize_dynamic(
            network, {nn.LSTM, nn.GRU, nn.Linear}, dtype=torch.qint8
        )


def answering(
    network: nn.Module, texts: Sequence[NDArray[np.int64]]
) -> Callable[[], NDArray[np.float32]]:
    """What answers some texts, on one thread: packed, but for texts of one length.

    Args:
        network: The network.
        texts: Token ids of each.
    """
    torch.set_num_threads(1)
    ids = [torch.from_numpy(text) for text in texts]
    lengths = torch.tensor([len(text) for text in texts])
    padded = pad_sequence(ids, batch_first=True)
    given = (padded, None if len(set(lengths.tolist())) == 1 else lengths)

    def run() -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(*given).numpy()
        return logits

    return run


def fit(recipe: Recipe, train: Encoded, test: Encoded) -> Trained:
    """Batches in random order, padded to their longest text."""
    return _fit(recipe, train, test, by_length=False)


def fit_by_length(recipe: Recipe, train: Encoded, test: Encoded) -> Trained:
    """Batches of texts of like length."""
    return _fit(recipe, train, test, by_length=True)


def fit_on_one_thread(recipe: Recipe, train: Encoded, test: Encoded) -> Trained:
    """Batches in random order; products this small may be slower for being shared out."""
    torch.set_num_threads(1)
    return _fit(recipe, train, test, by_length=False)


def _fit(recipe: Recipe, train: Encoded, test: Encoded, *, by_length: bool) -> Trained:
    torch.manual_seed(recipe.seed)
    network = Network(recipe)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, eps=1e-7
    )
    epochs = Epochs()
    network.train()
    for number in range(recipe.epochs):
        seed = recipe.seed * 1000 + number
        with epochs.epoch():
            for rows in _batches(train, recipe.batch_size, seed, by_length=by_length):
                ids, lengths, targets = _batch(train, rows)
                loss = nn.functional.cross_entropy(network(ids, lengths), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()  # the cost of every update is looked at, as it is elsewhere
    parameters = sum(weight.numel() for weight in network.parameters())
    return epochs.trained(_accuracy(network, test), parameters)


def _batches(
    texts: Encoded, size: int, seed: int, *, by_length: bool
) -> Iterable[NDArray[np.int64]]:
    if by_length:
        return batches_by_length(texts, size, seed)
    order = np.random.default_rng(seed).permutation(len(texts))
    return [order[first : first + size] for first in range(0, len(order), size)]


def _batch(
    texts: Encoded, rows: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = [torch.from_numpy(texts.text(row).astype(np.int64)) for row in rows.tolist()]
    lengths = torch.tensor([len(text) for text in ids])
    targets = torch.from_numpy(texts.targets[rows].astype(np.int64))
    return pad_sequence(ids, batch_first=True), lengths, targets


def _accuracy(network: Network, test: Encoded) -> float:
    network.eval()
    right = 0
    order = np.argsort(np.diff(test.splits), kind="stable")
    with torch.no_grad():
        for first in range(0, len(order), 256):
            ids, lengths, targets = _batch(test, order[first : first + 256])
            right += int((network(ids, lengths).argmax(dim=1) == targets).sum())
    return right / len(test)
