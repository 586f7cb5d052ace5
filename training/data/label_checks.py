"""Labels that look the same to a reader, and lists of labels that were read as one label."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

_SEPARATORS = "|;,"
_FEWEST_COMBINED = 3
_WHOLE = re.compile(r"([-+]?\d+)\.0+")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)


def appearance(label: str) -> str:
    r"""The form in which labels that look the same to a reader are equal.

    Full width and other compatibility forms, case, white space and invisible characters do not
    count, nor do the decimals of a whole number, which a column with missing values gets.

    >>> appearance(" Ｓpam\u200b  Mail "), appearance("1.0")
    ('spam mail', '1')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    visible = " ".join("".join(filter(_is_visible, folded)).split())
    whole = _WHOLE.fullmatch(visible)
    return whole[1] if whole else visible


def alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of labels that look the same to a reader, in the order of the labels.

    >>> alike(["Spam", "ham", "spam"])
    [('Spam', 'spam')]
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[appearance(label)].append(label)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def listed(label: str, labels: Collection[str]) -> tuple[str, ...] | None:
    """The labels in a list that was read as one label; None if it is no list.

    A list has separators between labels of the corpus; one in brackets is not read as a label.

    >>> listed("joy; love", ["joy", "joy; love", "love"])
    ('joy', 'love')
    >>> listed("joy; love", ["joy; love"])

    Args:
        label: The label.
        labels: All labels of the corpus.
    """
    text = label.strip()
    for separator in _SEPARATORS:
        parts = _parts(text, separator)
        if len(parts) > 1 and all(part in labels for part in parts):
            return parts
    return None


def combined(labels: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The labels that look like lists although their parts are no labels, each with its parts.

    Every part occurs in several of them. So `neg;x`, `neg;y`, `pos;x` and `pos;y` look like lists,
    and `Paris, France` and `Lyon, France` do not.

    >>> combined(["neg;x", "pos;x", "neg;y", "pos;y", "other"])["neg;y"]
    ('neg', 'y')

    Args:
        labels: All labels of the corpus.
    """
    for separator in _SEPARATORS:
        parts = {label: _parts(label, separator) for label in labels if separator in label}
        counts = Counter(part for found in parts.values() for part in set(found))
        recurring = {
            label: found
            for label, found in parts.items()
            if all(counts[part] > 1 for part in found)
        }
        if len(recurring) >= _FEWEST_COMBINED:
            return recurring
    return {}


def _parts(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator))


def _is_visible(character: str) -> bool:
    if character.isspace():
        return True
    return (
        unicodedata.category(character) not in ("Cc", "Cf")
        and ord(character) not in _VARIATION_SELECTORS
    )
