"""Fine-tuning: an encoder and a linear layer on its pooled states are trained on labelled texts.

The usual recipe (Mosbach et al., 2021, https://arxiv.org/abs/2006.04884): AdamW, a warm-up and then
a straight line to zero, batches of similar length, and more epochs for few rows. The epoch with the
best validation score is kept. A run that was stopped resumes after its last saved epoch, to the
same weights.

Few rows are also learnt from in pairs: two texts of one label are to have states more alike than
two of others (Gunel et al., 2021, https://arxiv.org/abs/2011.01403).
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gatewise.training.fit.progress import FINE_TUNING, Finding, OnProgress, Progress
from gatewise.training.network.sentence_encoder import encode_texts
from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.targets import probabilities_of, score
from gatewise.training.teacher.teacher import Lesson, TeacherError, TooLongError, duration
from gatewise.training.teacher.text_encoder import BATCH, padded, similar_lengths
from gatewise.training.teacher.torch_encoder import TorchEncoder
from gatewise.vocab.atomic_files import atomic_write, translate_write_errors

_RATE, _HEAD_RATE, _WEIGHT_DECAY = 1e-4, 1e-3, 0.01
_WARMUP, _CLIP_NORM = 0.1, 1.0
_EPOCHS, _MIN_UPDATES = 4, 200
"""Epochs, and updates that there are at least, in more epochs of few rows."""

_TEMPERATURE = 0.1
"""What the cosines of two states are divided by in the contrastive loss."""

_POOL = 32
"""Batches whose texts are sorted by length together."""

_TIMED_UPDATES = 8
"""Updates by which the time is estimated; the first of them, which is slower, is left out."""

_SAVE_SECONDS = 60.0
"""Seconds of training that may be lost if the run is stopped, at the end of an epoch."""

_BYTES_PER_PARAMETER = 16
"""The weight, its gradient and two moments, in 32-bit floats."""

_WEIGHTS_FILE, _STATE_FILE = "weights.safetensors", "state.pt"


class TunedWeights(TorchEncoder):
    """An encoder with a linear layer, which gives the logit of each label.

    Attributes:
        head: The linear layer.
        modules: Both.
    """

    per_token = False

    def __init__(self, folder: EncoderFolder, labels: int) -> None:
        super().__init__(folder)
        self._folder = folder
        inputs = padded(encode_texts(folder.path, folder.tokenizer, ["a"]), folder.pad_id)
        width = super().outputs(inputs).shape[-1]
        self.head = nn.Linear(width, labels).to(self.device)
        self.modules = nn.ModuleDict({"encoder": self.model, "head": self.head})

    def outputs(self, inputs: dict[str, NDArray[np.int64]]) -> Tensor:
        """The logits of a batch, `(texts, labels)`, on the device."""
        logits: Tensor = self.head(self.pooled(inputs))
        return logits

    def pooled(self, inputs: dict[str, NDArray[np.int64]]) -> Tensor:
        """The pooled states of a batch, `(texts, width)`, on the device."""
        states = super().outputs(inputs)
        mask = torch.from_numpy(inputs["attention_mask"]).to(states.device)[:, :, None]
        if self._folder.pooling == "cls":
            return states[:, 0]
        if self._folder.pooling == "max":
            return states.masked_fill(mask == 0, -torch.inf).amax(1).nan_to_num(neginf=0.0)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


def fine_tune(
    folder: EncoderFolder,
    lesson: Lesson,
    kept: Path,
    on_progress: OnProgress,
    seconds: float | None = None,
) -> TunedWeights:
    """Trains an encoder to classify texts, unless that was done before.

    Args:
        folder: Its files, with safetensors.
        lesson: The texts; its seed is that of the linear layer, of the order and of dropout.
        kept: Folder in which the state and the result are kept.
        on_progress: Called after each update, and with the estimated time.
        seconds: How long it may take; None for as long as it takes.

    Raises:
        TooLongError: If it would take longer, by the time of the first updates.
        TeacherError: If the encoder cannot be loaded, or gives no finite numbers.
    """
    torch.manual_seed(lesson.seed)
    weights = TunedWeights(folder, lesson.train.truth.shape[1])
    if (kept / _WEIGHTS_FILE).is_file():
        weights.modules.load_state_dict(load_file(kept / _WEIGHTS_FILE))
    else:
        _Tuning(weights, folder, lesson, kept).run(seconds, on_progress)
    weights.modules.eval()
    return weights


class _Tuning:
    """One training; see `fine_tune`."""

    def __init__(
        self, weights: TunedWeights, folder: EncoderFolder, lesson: Lesson, kept: Path
    ) -> None:
        self._weights, self._folder, self._kept = weights, folder, kept
        self._seed, self._multi_label = lesson.seed, lesson.multi_label
        self._train, self._validation = (
            encode_texts(folder.path, folder.tokenizer, part.texts)
            for part in (lesson.train, lesson.validation)
        )
        self._truth = torch.from_numpy(lesson.train.truth.astype(np.float32))
        self._validation_truth = lesson.validation.truth
        self._per_epoch = -(-len(self._train) // BATCH)
        self._epochs = max(_EPOCHS, -(-_MIN_UPDATES // self._per_epoch))
        self._total = self._epochs * self._per_epoch
        self._patience = max(2, self._epochs // 4)
        groups = {weights.model: _RATE, weights.head: _HEAD_RATE}
        self._optimizer = torch.optim.AdamW(
            [{"params": list(each.parameters()), "lr": rate} for each, rate in groups.items()],
            weight_decay=_WEIGHT_DECAY,
            fused=True,
        )
        self._rates = tuple(groups.values())
        self._epoch = self._best_epoch = 0
        self._best: dict[str, Tensor] = {}
        self._best_score = (-math.inf, -math.inf)

    def run(self, seconds: float | None, on_progress: OnProgress) -> None:
        """Trains from the beginning, or from the last epoch that was saved."""
        self._resume()
        begun = saved = time.monotonic()
        first = self._epoch * self._per_epoch
        while self._epoch < self._epochs and self._epoch - self._best_epoch < self._patience:
            torch.manual_seed(self._seed + self._epoch)
            for update, rows in enumerate(self._batches(), start=self._epoch * self._per_epoch):
                self._update(rows, update)
                on_progress(Progress(update + 1, self._total, stage=FINE_TUNING))
                if update == first:
                    timed_from = time.monotonic()
                elif update == first + _TIMED_UPDATES:
                    of_one = (time.monotonic() - timed_from) / _TIMED_UPDATES
                    left = (self._total - update - 1) * of_one
                    self._check_time(left, timed_from - begun + _TIMED_UPDATES * of_one, seconds)
                    on_progress(Finding(self._plan(left)))
            self._epoch += 1
            self._validate()
            if time.monotonic() - saved >= _SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
        self._weights.modules.load_state_dict(self._best)
        with translate_write_errors(self._kept), atomic_write(self._kept / _WEIGHTS_FILE) as file:
            save_file(self._best, file)
        (self._kept / _STATE_FILE).unlink(missing_ok=True)

    def _batches(self) -> list[list[int]]:
        """The rows of each batch of the next epoch, of similar length."""
        generator = np.random.default_rng([self._seed, self._epoch])
        order = generator.permutation(len(self._train)).tolist()
        pools = [
            order[start : start + _POOL * BATCH] for start in range(0, len(order), _POOL * BATCH)
        ]
        batches = [batch for pool in pools for batch in similar_lengths(self._train, pool)]
        return [batches[place] for place in generator.permutation(len(batches))]

    def _update(self, rows: list[int], update: int) -> None:
        """Trains on a batch."""
        done = update / self._total
        factor = min((update + 1) / max(_WARMUP * self._total, 1), (1 - done) / (1 - _WARMUP))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate
        self._weights.modules.train()
        batch = padded([self._train[row] for row in rows], self._folder.pad_id)
        states = self._weights.pooled(batch)
        logits, truth = self._weights.head(states), self._truth[rows].to(states.device)
        if self._multi_label:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        else:
            loss = nn.functional.cross_entropy(logits, truth)
            if self._epochs > _EPOCHS:  # of few rows
                loss = loss + _contrastive_loss(states, truth)
        if not torch.isfinite(loss):
            raise TeacherError(f"{self._folder.path}: fine-tuning fails: the loss is not finite")
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights.modules.parameters(), _CLIP_NORM)
        self._optimizer.step()

    def _validate(self) -> None:
        """Keeps the weights of the epoch that just ended, if they are the best."""
        self._weights.modules.eval()
        logits = np.empty(self._validation_truth.shape, dtype=np.float32)
        for rows in similar_lengths(self._validation):
            batch = [self._validation[row] for row in rows]
            logits[rows] = self._weights.run(padded(batch, self._folder.pad_id))
        probabilities = probabilities_of(logits, multi_label=self._multi_label)
        found = score(probabilities, self._validation_truth, multi_label=self._multi_label)
        if found > self._best_score or not self._best:
            self._best_score, self._best_epoch = found, self._epoch
            state = self._weights.modules.state_dict()
            self._best = {name: weight.detach().cpu().clone() for name, weight in state.items()}

    def _check_time(self, left: float, spent: float, seconds: float | None) -> None:
        if seconds is not None and spent + left > seconds:
            raise TooLongError(
                f"{self._folder.card.name}: fine-tuning takes about {duration(spent + left)}"
            )

    def _plan(self, left: float) -> str:
        """How long the rest takes, and how much memory."""
        parameters = sum(weight.numel() for weight in self._weights.modules.parameters())
        return (
            f"teacher {self._folder.card.name}: fine-tuning on {len(self._train):,} texts, at most "
            f"{self._epochs} epochs: about {duration(left)} on the {self._weights.device}; "
            f"{_BYTES_PER_PARAMETER * parameters / 1e6:,.0f} MB of memory for its weights, more "
            "for a batch"
        )

    def _save(self) -> None:
        state = {
            "weights": self._weights.modules.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "best": self._best,
            "best_score": self._best_score,
            "best_epoch": self._best_epoch,
            "epoch": self._epoch,
        }
        with translate_write_errors(self._kept), atomic_write(self._kept / _STATE_FILE) as file:
            torch.save(state, file)

    def _resume(self) -> None:
        """Continues after the last epoch that was saved, if there is one."""
        file = self._kept / _STATE_FILE
        if not file.is_file():
            return
        state = torch.load(file, map_location="cpu", weights_only=True)
        self._weights.modules.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._best, self._best_score = state["best"], tuple(state["best_score"])
        self._best_epoch, self._epoch = state["best_epoch"], state["epoch"]


def _contrastive_loss(states: Tensor, truth: Tensor) -> Tensor:
    """The supervised contrastive loss (Khosla et al., 2020, https://arxiv.org/abs/2004.11362).

    For each text of a batch the others have a probability each, by the softmax of the cosines of
    their states with that of the text.

    Args:
        states: A pooled state for each text, `(texts, width)`.
        truth: One for the label of each text, else zero, `(texts, labels)`.

    Returns:
        The mean negative logarithm of the probabilities of the others of its label, over the texts
        that have one in the batch; zero if none has.
    """
    itself = torch.eye(len(states), dtype=torch.bool, device=states.device)
    units = nn.functional.normalize(states, dim=1)
    similarities = (units @ units.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
    is_alike = (truth @ truth.T > 0) & ~itself
    costs = -similarities.log_softmax(dim=1).masked_fill(~is_alike, 0).sum(dim=1)
    alike = is_alike.sum(dim=1)
    if not alike.any():
        return states.new_zeros(())
    return (costs[alike > 0] / alike[alike > 0]).mean()
