"""Character classes for pre-tokenization: white space, dropped, isolated and word characters.

The classes list explicit code points for regular expressions, because named classes differ between
runtimes: each engine has its own Unicode version, and JavaScript iterates over UTF-16 units.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

_ESCAPE = re.compile(r"\\x\{([0-9a-f]+)\}")
_RANGE = re.compile(r"\\x\{([0-9a-f]+)\}(?:-\\x\{([0-9a-f]+)\})?")


def class_of(code_points: Iterable[int]) -> str:
    r"""A regular expression class of code points, in escapes that every runtime understands.

    >>> class_of([0x30, 0x31, 0x32, 0x41])
    '[\\x{30}-\\x{32}\\x{41}]'
    """
    ranges: list[list[int]] = []
    for code in sorted(set(code_points)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    parts = (f"\\x{{{a:x}}}" + (f"-\\x{{{b:x}}}" if b > a else "") for a, b in ranges)
    return f"[{''.join(parts)}]"


def members(cls: str) -> frozenset[int]:
    r"""The code points in a class from `class_of`.

    >>> sorted(members(r"[\x{30}-\x{32}\x{41}]"))
    [48, 49, 50, 65]
    """
    found: set[int] = set()
    for first, last in _RANGE.findall(cls):
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(found)


def python_class(cls: str) -> str:
    r"""A class from `class_of`, with the escapes of Python's `re`.

    >>> python_class(r"[^\x{30}-\x{32}\x{41}]")
    '[^\\U00000030-\\U00000032\\U00000041]'
    """
    return _ESCAPE.sub(lambda found: f"\\U{int(found[1], 16):08x}", cls)


def _of_category(*prefixes: str) -> Iterator[int]:
    return (
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)).startswith(prefixes)
    )


def _blocks(*bounds: tuple[int, int]) -> Iterator[int]:
    return (code for first, last in bounds for code in range(first, last + 1))


_SPACES = frozenset(
    (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)
) | {0x202F, 0x205F, 0x3000}

UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # iteration mark and zero of Chinese and Japanese
    (0x3021, 0x3029),  # Suzhou numerals
    (0x3031, 0x3035),  # kana repeat marks
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo, extended
    (0x31F0, 0x31FF),  # Katakana, phonetic extensions
    (0x3400, 0x4DBF),  # Chinese, extension A
    (0x4E00, 0x9FFF),  # Chinese
    (0xA9E0, 0xA9FF),  # Burmese, extended B
    (0xAA60, 0xAA7F),  # Burmese, extended A
    (0xF900, 0xFAFF),  # Chinese, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x1AFF0, 0x1B16F),  # kana, supplement and extensions
    (0x20000, 0x3FFFF),  # Chinese, extensions B and later
)
"""Blocks of the scripts that are written without spaces between words, both ends included."""

# Combining marks of scripts that are also read without them. In other scripts a mark is a vowel or
# makes another letter, such as が from か.
_ACCENTS = (
    (0x0300, 0x036F),  # combining diacritical marks
    (0x1AB0, 0x1AFF),  # the same, extended
    (0x1DC0, 0x1DFF),  # the same, supplement
    (0x20D0, 0x20FF),  # the same, for symbols
    (0xFE20, 0xFE2F),  # combining half marks
)


def is_white_space(character: str) -> bool:
    """Whether a character has Unicode's White_Space property."""
    return ord(character) in _SPACES


@cache
def white_space() -> str:
    """The class of characters with Unicode's White_Space property."""
    return class_of(_SPACES)


@cache
def dropped() -> str:
    """The class of invisible characters, which the normalizer removes.

    Controls, format characters (zero-width joiners, direction marks), private use, variation
    selectors, and the replacement character U+FFFD.
    """
    invisible = set(_of_category("Cc", "Cf", "Co")) - _SPACES
    return class_of(invisible | set(_blocks((0xFE00, 0xFE0F), (0xFFFD, 0xFFFD))))


@cache
def isolated() -> str:
    """The class of characters that are a token each.

    Punctuation, symbols, emoji, and letters of scripts written without spaces: a Chinese, Japanese
    or Thai sentence would otherwise be one unknown word.
    """
    return class_of([*_of_category("P", "S"), *_blocks(*UNSPACED_BLOCKS)])


@cache
def word_characters() -> str:
    """The class of characters in words: neither white space nor isolated."""
    return f"[^{white_space()[1:-1]}{isolated()[1:-1]}]"


@cache
def accents() -> str:
    """The class of combining marks on Latin, Greek and Cyrillic letters."""
    return class_of(_blocks(*_ACCENTS))
