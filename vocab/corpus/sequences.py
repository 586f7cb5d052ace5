"""Sequences of numbers: a list of numbers, or of vectors of one width, checked and as an array.

A missing number is null in JSON, and NaN in the array. Between a file and the network a sequence is
carried as its JSON, so that all that stores, compares or shows texts does the same with sequences.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from gatewise.vocab.corpus.data_frames import is_missing, is_table
from gatewise.vocab.errors import SequenceError
from gatewise.vocab.strict_json import no_constant

Numbers = NDArray[np.float32]
"""The steps of a sequence, float32 `(steps, features)`; NaN is a missing number."""

MAX_FEATURES = 65_536
"""The most numbers of a step."""
_NUMBERS = (int, float, Decimal, np.number, type(None))

_MAX_SHOWN = 40


def as_numbers(value: object, features: int | None = None) -> Numbers:
    """A sequence as an array.

    >>> as_numbers([1, None, 2.5]).tolist(), as_numbers("[[1, 2]]").tolist()
    ([[1.0], [nan], [2.5]], [[1.0, 2.0]])

    Args:
        value: A list or an array of numbers, `(steps,)`, or of vectors, `(steps, features)`, or the
            JSON of one. A number that an array masks is missing.
        features: Numbers of a step; None for any.

    Raises:
        SequenceError: It is something else, is empty, has steps of another width, or a number that
            is not finite in 32 bits.
    """
    return _checked(_exact(value), features)


def as_steps(value: object, features: int) -> Numbers:
    """The next steps of a sequence that arrives step by step, as an array.

    >>> as_steps(1.5, 1).tolist(), as_steps([1, None], 2).tolist(), as_steps([[1], [2]], 1).tolist()
    ([[1.5]], [[1.0, nan]], [[1.0], [2.0]])

    Args:
        value: One step: a number, or a vector where a step has several; or several, as in
            `as_numbers`. JSON is none of these.
        features: Numbers of a step.

    Raises:
        SequenceError: As in `as_numbers`.
    """
    dimensions = np.ndim(value) if hasattr(value, "__array__") else _depth(value)
    is_one = dimensions < (1 if features == 1 else 2)
    return as_numbers([value] if is_one else value, features)


def as_json(value: object, features: int | None = None) -> str:
    """A sequence as JSON; arguments and errors are those of `as_numbers`.

    >>> as_json([1, float("nan")]), as_json([[0.5, 2]])
    ('[1.0, null]', '[[0.5, 2.0]]')
    """
    exact = _exact(value)
    _checked(exact, features)
    plain = exact[:, 0] if exact.shape[1] == 1 else exact
    return json.dumps(plain.tolist()).replace("NaN", "null")


def as_sequences(
    values: Iterable[object], features: int, *, may_be_missing: bool = False
) -> list[Numbers]:
    """The sequences that a Python caller hands in, each checked by its position.

    Args:
        values: A list of sequences, or an array of them, `(sequences, steps, features)` or
            `(sequences, steps)`.
        features: Numbers of a step.
        may_be_missing: Whether a sequence may be missing (None, NaN, pandas' NA and NaT), which has
            no step then.

    Raises:
        SequenceError: They are no list, or one of them cannot be used.
    """
    is_one = isinstance(values, str | bytes | set | frozenset) or is_table(values)
    if is_one or not isinstance(values, Iterable):
        raise SequenceError(
            f"expected a list of sequences of numbers, received a value of type "
            f"{type(values).__name__}"
        )
    found = []
    for index, value in enumerate(values):
        if may_be_missing and is_missing(value):
            found.append(np.empty((0, features), dtype=np.float32))
            continue
        try:
            found.append(as_numbers(value, features))
        except SequenceError as error:
            raise SequenceError(f"sequence {index}, counted from 0: {error}") from None
    return found


def _checked(exact: NDArray[np.float64], features: int | None) -> Numbers:
    """The numbers in 32 bits, where each must be finite or missing."""
    with np.errstate(over="ignore"):
        numbers = exact.astype(np.float32)
    if np.isinf(numbers).any():
        step, feature = np.argwhere(np.isinf(numbers))[0]
        raise SequenceError(
            f"step {step}, counted from 0: expected a finite number of 32 bits, or null, received "
            f"{exact[step, feature]}"
        )
    if numbers.shape[1] > MAX_FEATURES:
        raise SequenceError(
            f"expected vectors of at most {MAX_FEATURES:,} numbers, received "
            f"{_steps(numbers.shape[1])}"
        )
    if features is not None and numbers.shape[1] != features:
        raise SequenceError(f"expected {_steps(features)}, received {_steps(numbers.shape[1])}")
    return numbers


def _exact(value: object) -> NDArray[np.float64]:
    """A sequence in 64 bits, `(steps, features)`."""
    if isinstance(value, str):
        value = _parsed(value)
    if hasattr(value, "as_py"):  # a scalar of pyarrow
        value = value.as_py()
    if isinstance(value, np.ma.MaskedArray):
        value = value.tolist()  # None where it is masked
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
        value = array if array.dtype.kind in "iuf" and array.ndim in (1, 2) else array.tolist()
    if not isinstance(value, np.ndarray):
        value = _of_list(value)
    if not value.size:
        raise SequenceError("the sequence is empty: it holds no number")
    return value.reshape(len(value), -1).astype(np.float64)


def _depth(value: object) -> int:
    """How deep the lists of numbers are: 0 of a number, 1 of a vector, 2 of several."""
    if not isinstance(value, list | tuple):
        return 0
    return 2 if any(map(_is_vector, value)) else 1


def _is_vector(step: object) -> bool:
    """Whether the numbers of a step are in a list, or an array or a column of whatever library."""
    if isinstance(step, list | tuple | np.ndarray):
        return True
    return hasattr(step, "__array__") and np.ndim(step) > 0


def _parsed(text: str) -> object:
    try:
        return json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise SequenceError(
            f"expected a list of numbers, null for a missing one, received the text {_shown(text)}"
        ) from None


def _of_list(value: object) -> NDArray[np.float64]:
    if not isinstance(value, list | tuple):
        raise SequenceError(
            f"expected a list of numbers or of vectors, received {_shown(value)}: a list of "
            "sequences has a list for each"
        )
    vectors = [
        step.tolist() if isinstance(step, np.ndarray) else list(step)
        for step in value
        if _is_vector(step)
    ]
    if vectors and len(vectors) < len(value):
        raise SequenceError("expected numbers alone or vectors alone, received some of both")
    for step, vector in enumerate(vectors):
        if len(vector) != len(vectors[0]):
            raise SequenceError(
                f"step {step}, counted from 0: expected a vector of {len(vectors[0])} numbers, as "
                f"before, received one of {len(vector)}"
            )
    numbers: Sequence[object] = list(chain.from_iterable(vectors)) if vectors else value
    for kind in set(map(type, numbers)):
        if kind is bool or not issubclass(kind, _NUMBERS):
            index = next(at for at, number in enumerate(numbers) if type(number) is kind)
            width = len(vectors[0]) if vectors else 1
            raise SequenceError(
                f"step {index // width}, counted from 0: expected a number or null, received "
                f"{_shown(numbers[index])}"
            )
    try:
        return np.array(numbers, dtype=np.float64).reshape(len(value), -1 if numbers else 0)
    except OverflowError:
        raise SequenceError("expected finite numbers of 32 bits, received a larger one") from None


def _steps(features: int) -> str:
    return "numbers" if features == 1 else f"vectors of {features} numbers"


def _shown(value: object) -> str:
    try:
        text = " ".join(repr(value).split())
    except (RecursionError, ValueError):  # a list too deep, or an integer too long, to print
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
