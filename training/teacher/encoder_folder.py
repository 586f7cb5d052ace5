"""A text encoder's folder in the layout of Hugging Face: its tokenizer, pooling, weights, licence.

The pooling and the longest text are read as sentence-transformers writes them
(https://sbert.net/docs/package_reference/util/modules.html); without its files, a text's vector is
the mean over its tokens.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from gatewise.training.network import sentence_encoder
from gatewise.training.teacher.teacher import TeacherCard, TeacherError, file_digest

Pooling = Literal["mean", "cls", "max"]

_MAX_TOKENS = 512
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_DESCRIPTIONS = (
    *("tokenizer.json", "config.json", "1_Pooling/config.json"),
    *("sentence_bert_config.json", "tokenizer_config.json"),
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")
_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True)
class EncoderFolder:
    """The files of an encoder.

    Attributes:
        path: The folder.
        tokenizer: Its tokenizer, which truncates long texts.
        pad_id: The id that batches are padded with.
        pooling: How the states of a text's tokens become its vector.
        onnx: Its ONNX model; None if it has safetensors only.
        files: The files that its vectors depend on.
        card: What it is, for reports.
    """

    path: Path
    tokenizer: Tokenizer
    pad_id: int
    pooling: Pooling
    onnx: Path | None
    files: tuple[Path, ...]
    card: TeacherCard

    @property
    def fingerprint(self) -> str:
        """Digest of what its vectors depend on."""
        return file_digest(*self.files)


def has_safetensors(path: Path) -> bool:
    """Whether a folder has weights as safetensors."""
    return any((path / name).is_file() for name in _SAFETENSORS)


def read_encoder_folder(path: Path, *, safetensors: bool = False) -> EncoderFolder:
    """Finds the files of an encoder; its weights are not loaded.

    Args:
        path: The folder.
        safetensors: Whether the weights must be safetensors, even if there is an ONNX model.

    Raises:
        GatewiseError: If it is no such folder, has no tokenizer, or weights of no safe format.
    """
    if not path.is_dir():
        raise TeacherError(
            f"{path}: expected the folder of a teacher, found none", option="teacher"
        )
    onnx = sentence_encoder.model_file(path)
    if not has_safetensors(path):
        if onnx is None:
            raise _without_weights(path)
        if safetensors:
            raise TeacherError(
                f"{path}: expected model.safetensors, which fine-tuning starts from, received an "
                "encoder in ONNX only: set teacher.mode=frozen"
            )
    onnx = None if safetensors else onnx
    tokenizer = sentence_encoder.load_tokenizer(path, _max_tokens(path))
    pad_id = (tokenizer.padding or {}).get("pad_id", 0)
    tokenizer.no_padding()
    weights = [onnx] if onnx else sorted(path.glob("*.safetensors"))
    # A large ONNX model has its weights in files beside it.
    beside = [*onnx.parent.glob(f"{onnx.name}_data*"), *onnx.parent.glob("*.data")] if onnx else []
    weights += sorted(beside)
    return EncoderFolder(
        path=path,
        tokenizer=tokenizer,
        pad_id=pad_id,
        pooling=_pooling(path),
        onnx=onnx,
        files=(*weights, *(path / name for name in _DESCRIPTIONS if (path / name).is_file())),
        card=TeacherCard(
            name=_heading(path) or path.resolve().name,
            kind="encoder, frozen, with a logistic regression",
            bytes=sum(file.stat().st_size for file in weights),
            license=license_of(path),
        ),
    )


def license_of(folder: Path) -> str | None:
    """The licence in the metadata of a folder's README; None if there is none."""
    found = re.match(r"---\n(.*?)\n---", _readme(folder), re.DOTALL)
    line = re.search(r"^license:\s*(\S+)\s*$", found[1], re.MULTILINE) if found else None
    return line[1].strip("\"'") if line else None


def _without_weights(path: Path) -> TeacherError:
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles:
        return TeacherError(
            f"{path}: expected weights as ONNX or safetensors, received {pickles[0]}, a format "
            "that may run code when it is loaded: convert it to safetensors"
        )
    return TeacherError(
        f"{path}: expected a text encoder with onnx/model.onnx or model.safetensors, or a Gatewise "
        "model folder; found neither"
    )


def _document(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one if there is no such file."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TeacherError(f"{file}: not valid JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _max_tokens(path: Path) -> int:
    """The longest text that the encoder reads, in tokens."""
    limits = [
        _document(path / "sentence_bert_config.json").get("max_seq_length"),
        _document(path / "tokenizer_config.json").get("model_max_length"),
        _document(path / "config.json").get("max_position_embeddings"),
    ]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and limit >= 3]
    return min([*known, _MAX_TOKENS])


def _pooling(path: Path) -> Pooling:
    file = path / "1_Pooling" / "config.json"
    found = _document(file)
    if not found:
        return "mean"
    modes = [mode for name, mode in _POOLING_FLAGS.items() if found.get(name) is True]
    if found.get("pooling_mode") in _POOLING_FLAGS.values():
        modes = [found["pooling_mode"]]
    if len(modes) != 1:
        raise TeacherError(
            f"{file}: expected one pooling of {', '.join(_POOLING_FLAGS.values())}, received "
            f"{', '.join(modes) or 'none of them'}"
        )
    return modes[0]


def _heading(folder: Path) -> str | None:
    """The first heading of a folder's README."""
    found = re.search(r"^# +(.+?)\s*$", _readme(folder), re.MULTILINE)
    return found[1] if found else None


def _readme(folder: Path) -> str:
    file = folder / "README.md"
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
