"""`teacher.mode`: an encoder becomes a teacher frozen, fine-tuned, or as the better of the two."""

import hashlib
import json
import time
from importlib.util import find_spec
from pathlib import Path

from gatewise.training.config.config import Config
from gatewise.training.fit.progress import Finding, OnProgress
from gatewise.training.teacher.encoder_folder import (
    EncoderFolder,
    has_safetensors,
    read_encoder_folder,
)
from gatewise.training.teacher.fine_tuned_encoder import FineTunedEncoder
from gatewise.training.teacher.frozen_encoder import FrozenEncoder
from gatewise.training.teacher.targets import score
from gatewise.training.teacher.teacher import Lesson, Teacher, TeacherError, TooLongError
from gatewise.training.teacher.vector_cache import VectorCache
from gatewise.vocab.atomic_files import translate_write_errors

_PACKAGES = ("torch", "transformers")

_AUTO_MINUTES = 20.0
"""Minutes that `teacher.mode=auto` allows by default."""

_TUNING_SHARE = 0.5
"""Share of `teacher.minutes` that fine-tuning may take: the rest is for labelling."""


def check_encoder(path: Path, config: Config) -> None:
    """Finds the files and packages that an encoder needs, before rows are read.

    Raises:
        TeacherError: If the folder has no encoder, or only one in ONNX, which cannot be fine-tuned.
        ModuleNotFoundError: If safetensors need a package that is not installed.
    """
    folder = read_encoder_folder(path, safetensors=config.teacher.mode == "fine_tuned")
    if folder.onnx is None and (package := _lacking_package()):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def open_encoder(
    path: Path,
    config: Config,
    lesson: Lesson,
    cache: Path,
    on_progress: OnProgress,
) -> Teacher:
    """Loads an encoder, fine-tuned if the settings, the time and the validation rows say so.

    Args:
        path: Its folder.
        config: The run's settings.
        lesson: What it becomes a classifier by.
        cache: Folder of the teachers' results, locked.
        on_progress: Called while it is fine-tuned, and for each finding.

    Raises:
        TeacherError: If it cannot be loaded, or not be fine-tuned in the time allowed.
        ModuleNotFoundError: If it needs a package that is not installed.
    """
    mode, multi_label = config.teacher.mode, lesson.multi_label
    minutes = config.teacher.minutes and _TUNING_SHARE * config.teacher.minutes

    def tuned(minutes: float | None) -> FineTunedEncoder:
        from gatewise.training.teacher.fine_tuning import fine_tune

        folder = read_encoder_folder(path, safetensors=True)
        fingerprint = _fingerprint(folder, lesson)
        kept = cache / fingerprint[:32]
        with translate_write_errors(kept):
            kept.mkdir(exist_ok=True)
        seconds = None if minutes is None else 60 * minutes
        weights = fine_tune(folder, lesson, kept, on_progress, seconds=seconds)
        return FineTunedEncoder(folder, weights, fingerprint, multi_label=multi_label)

    if mode == "fine_tuned":
        try:
            return tuned(minutes)
        except TooLongError as error:
            raise TeacherError(
                f"teacher.minutes={config.teacher.minutes:g}, of which half is for labelling: "
                f"{error}: allow more, or set teacher.mode=frozen"
            ) from None
    frozen = FrozenEncoder(read_encoder_folder(path), lesson.seed, multi_label=multi_label)
    if mode == "frozen":
        return frozen

    def score_of(teacher: Teacher) -> tuple[float, float]:
        vectors = VectorCache(teacher, cache)
        teacher.learn(vectors.vectors(lesson.train.texts), lesson.train.truth)
        found = teacher.probabilities(vectors.vectors(lesson.validation.texts))
        return score(found, lesson.validation.truth, multi_label=multi_label)

    def report(message: str) -> None:
        on_progress(Finding(f"teacher {frozen.card.name}: {message}"))

    if reason := _why_frozen(path):
        report(f"frozen, because {reason}")
        return frozen
    begun = time.monotonic()
    of_frozen = score_of(frozen)
    left = (minutes or _AUTO_MINUTES) - (time.monotonic() - begun) / 60
    try:
        other = tuned(left)
    except TooLongError as error:
        report(f"frozen, because {error}, and {minutes or _AUTO_MINUTES:g} minutes are allowed")
        return frozen
    except TeacherError as error:
        report(f"frozen, because it cannot be fine-tuned: {error}")
        return frozen
    of_other = score_of(other)
    is_better = of_other > of_frozen
    report(
        f"{'fine-tuned' if is_better else 'frozen'}: of the validation rows {of_frozen[0]:.1%} are "
        f"right frozen, {of_other[0]:.1%} fine-tuned"
    )
    return other if is_better else frozen


def _why_frozen(path: Path) -> str | None:
    """Why an encoder cannot be fine-tuned; None if it can."""
    if not has_safetensors(path):
        return "it has no model.safetensors"
    package = _lacking_package()
    return f"{package} is not installed" if package else None


def _lacking_package() -> str | None:
    return next((package for package in _PACKAGES if find_spec(package) is None), None)


def _fingerprint(folder: EncoderFolder, lesson: Lesson) -> str:
    """Digest of what a fine-tuned encoder depends on."""
    about = f"fine-tuned {folder.fingerprint} {lesson.seed} {lesson.multi_label}"
    digest = hashlib.sha256(about.encode())
    for part in (lesson.train, lesson.validation):
        digest.update(json.dumps(list(part.texts)).encode())
        digest.update(part.truth.tobytes())
    return digest.hexdigest()
