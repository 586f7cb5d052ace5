"""The texts that runtimes are compared on: real ones, drawn evenly from sets, and awkward ones.

Knows files of data and `awkward`; no runtime.
"""

from itertools import chain
from pathlib import Path

import awkward
from gatewise.training.data.sampling import reservoir
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts

SEED = 1
_RANDOM_SHARE = 0.2


def collect(data: Path | None, count: int) -> list[str]:
    """Every awkward text, random ones, and real ones; the same at every call.

    Args:
        data: A folder with a folder for each set; None if there is none.
        count: How many texts; more where the awkward ones are more.

    Raises:
        GatewiseError: If a set cannot be read.
    """
    listed = awkward.every_kind()
    rest = max(count - len(listed), 0)
    sets = _sets(data) if data else []
    drawn = _drawn(sets, rest - round(rest * _RANDOM_SHARE)) if sets else []
    return [*listed, *drawn, *awkward.random_texts(rest - len(drawn), SEED)]


def _sets(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir())


def _drawn(sets: list[Path], count: int) -> list[str]:
    """The same number of texts of each set, or all of a set that has fewer."""
    each = -(-count // len(sets))
    texts = chain.from_iterable(
        reservoir(read_texts(path, bad_rows=StopAtBadRows()), each, SEED) for path in sets
    )
    return list(texts)[:count]
