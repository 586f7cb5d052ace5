"""`teacher.mode`: an encoder becomes a teacher frozen, fine-tuned, or as the better of the two."""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
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

_RECIPE = 3
"""Version of how encoders are fine-tuned: the weights of an earlier one are not used."""

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
    tuned = partial(_tuned, path, lesson, cache, on_progress)
    minutes = config.teacher.minutes and _TUNING_SHARE * config.teacher.minutes
    if config.teacher.mode == "fine_tuned":
        try:
            return tuned(minutes)
        except TooLongError as error:
            raise TeacherError(
                f"teacher.minutes={config.teacher.minutes:g}, of which half is for labelling: "
                f"{error}: allow more, or set teacher.mode=frozen"
            ) from None
    folder = read_encoder_folder(path)
    frozen = FrozenEncoder(folder, lesson.seed, multi_label=lesson.multi_label)
    if config.teacher.mode == "frozen":
        return frozen
    chosen, why = _better(path, frozen, tuned, lesson, cache, minutes or _AUTO_MINUTES)
    on_progress(Finding(f"teacher {frozen.card.name}: {why}"))
    return chosen


def _tuned(
    path: Path, lesson: Lesson, cache: Path, on_progress: OnProgress, minutes: float | None
) -> FineTunedEncoder:
    """The encoder fine-tuned, in so many minutes at most."""
    from gatewise.training.teacher.fine_tuning import fine_tune

    folder = read_encoder_folder(path, safetensors=True)
    fingerprint = _fingerprint(folder, lesson)
    kept = cache / fingerprint[:32]
    with translate_write_errors(kept):
        kept.mkdir(exist_ok=True)
    seconds = None if minutes is None else 60 * minutes
    weights = fine_tune(folder, lesson, kept, on_progress, seconds=seconds)
    return FineTunedEncoder(folder, weights, fingerprint, multi_label=lesson.multi_label)


def _better(
    path: Path,
    frozen: FrozenEncoder,
    tuned: Callable[[float], FineTunedEncoder],
    lesson: Lesson,
    cache: Path,
    minutes: float,
) -> tuple[Teacher, str]:
    """The better of the two on the validation rows, as far as there is time, and why."""
    if not has_safetensors(path):
        return frozen, "frozen, because it has no model.safetensors"
    if package := _lacking_package():
        return frozen, f"frozen, because {package} is not installed"
    begun = time.monotonic()
    of_frozen = _score(frozen, lesson, cache)
    try:
        other = tuned(minutes - (time.monotonic() - begun) / 60)
    except TooLongError as error:
        return frozen, f"frozen, because {error}, and {minutes:g} minutes are allowed"
    except TeacherError as error:
        return frozen, f"frozen, because it cannot be fine-tuned: {error}"
    of_other = _score(other, lesson, cache)
    is_better = of_other > of_frozen
    return other if is_better else frozen, (
        f"{'fine-tuned' if is_better else 'frozen'}: of the validation rows {of_frozen[0]:.1%} are "
        f"right frozen, {of_other[0]:.1%} fine-tuned"
    )


def _score(teacher: Teacher, lesson: Lesson, cache: Path) -> tuple[float, float]:
    """How good a teacher is on the validation rows, once it has learned the others."""
    vectors = VectorCache(teacher, cache)
    # A fine-tuned encoder has learned: what it reads here is kept for the labelling.
    train = vectors.vectors(lesson.train.texts)
    if isinstance(teacher, FrozenEncoder):
        teacher.learn(train, lesson.train.truth)
    found = teacher.probabilities(vectors.vectors(lesson.validation.texts))
    return score(found, lesson.validation.truth, multi_label=lesson.multi_label)


def _lacking_package() -> str | None:
    return next((package for package in _PACKAGES if find_spec(package) is None), None)


def _fingerprint(folder: EncoderFolder, lesson: Lesson) -> str:
    """Digest of what a fine-tuned encoder depends on."""
    about = f"fine-tuned {_RECIPE} {folder.fingerprint} {lesson.seed} {lesson.multi_label}"
    digest = hashlib.sha256(about.encode())
    for part in (lesson.train, lesson.validation):
        digest.update(json.dumps(list(part.texts)).encode())
        digest.update(part.truth.tobytes())
    return digest.hexdigest()
