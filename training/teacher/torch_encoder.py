"""The weights of an encoder in safetensors, run by PyTorch and transformers."""

import inspect
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel
from transformers.utils import logging

from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.teacher import TeacherError
from gatewise.vocab.errors import first_line

_UNUSED = "pooler."
"""Weights of a layer that the vectors do not use, and that many folders leave out."""


class TorchEncoder:
    """An encoder that transformers knows, on the CPU or, if there is one, a GPU.

    A CPU that multiplies matrices of 16-bit floats (bfloat16) in one instruction does so, which is
    at least twice as fast; the weights stay in 32 bits. Vectors are then rounded by less than one
    percent, and differently in batches of other shapes.

    Attributes:
        model: Its layers.
        device: Where they are.
    """

    per_token = True

    def __init__(self, folder: EncoderFolder) -> None:
        # What it reports is checked below.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            model, report = AutoModel.from_pretrained(
                str(folder.path),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
            )
        except Exception as error:  # of every kind: an unknown architecture, shapes that differ
            raise TeacherError(
                f"{folder.path}: transformers cannot load it: {first_line(error)}"
            ) from None
        missing = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED))
        if missing:
            raise TeacherError(
                f"{folder.path}: the weights do not fit config.json: {len(missing)} are missing, "
                f"{missing[0]} among them"
            )
        # Texts are read on several threads instead, which leaves the order of sums as it is.
        torch.set_num_threads(1)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.to(self.device).eval()
        self._accepted = inspect.signature(model.forward).parameters.keys()

    def run(self, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """What `outputs` gives, as an array."""
        with torch.inference_mode():
            return np.asarray(self.outputs(inputs).cpu().numpy())

    def outputs(self, inputs: dict[str, NDArray[np.int64]]) -> torch.Tensor:
        """The state of each token, `(texts, tokens, width)`, on the device; for training too."""
        tensors = {
            name: torch.from_numpy(values).to(self.device)
            for name, values in inputs.items()
            if name in self._accepted
        }
        with torch.autocast("cpu", torch.bfloat16, enabled=_multiplies_bfloat16()):
            states: torch.Tensor = self.model(**tensors).last_hidden_state
        return states.float()

    def word_vectors(self) -> NDArray[np.float32] | None:
        """The vector of each token before the first layer, `(vocab, width)`."""
        weight = self.model.get_input_embeddings().weight
        return np.asarray(weight.detach().float().cpu().numpy())


@cache
def _multiplies_bfloat16() -> bool:
    """Whether the CPU has AMX (https://www.kernel.org/doc/html/latest/arch/x86/amx.html).

    Without it, products of bfloat16 are slower than those of 32-bit floats.
    """
    processors = Path("/proc/cpuinfo")
    return processors.is_file() and "amx_bf16" in processors.read_text().split()
