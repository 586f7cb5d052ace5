"""A tokenizer as ONNX nodes: texts in, token ids and attention mask out.

One regular expression splits a text into pieces that a table can lowercase: a run of characters
that stay as they are, or one character that changes. Dropped characters match nothing. The pieces
of all texts of a batch then form one row, with an empty piece as a break before each text. The
pieces of a word are joined by doubling: in each round a piece is joined with what the piece 1, 2,
4, … positions ahead has gathered, if both are of the same word. So the work is proportional to the
length of the texts, whatever the length of a word, without a loop. Words are then looked up, and
the ids that the network reads are written side by side.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from gatewise.training.mobile.tokenizer_tables import SPACE, TokenizerTables
from gatewise.training.onnx_export.graph_builder import Graph
from gatewise.vocab.tokenizer.character_classes import class_of
from gatewise.vocab.tokenizer.encoding import Keep
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID, SPECIAL_TOKENS, UNKNOWN_ID

OPSET = 20
"""The ONNX opset written, the first with `StringConcat`; onnxruntime reads it since 1.17."""

_MICROSOFT, _CLASSICAL = "com.microsoft", "ai.onnx.ml"
DOMAINS = {_MICROSOFT: 1, _CLASSICAL: 3}
"""The operator sets besides ONNX's own, with their versions."""

_BREAK = ""
"""The piece before each text, and the padding after texts with fewer pieces than others."""

# A special token that occurs in a text is that token. Brackets are never part of a word.
_SPECIAL_PATTERN = "|".join(map(re.escape, SPECIAL_TOKENS))
# The default of the lowercase table; never a piece itself.
_SAME = " "
# A character's code is four times its id, plus the kind of the character.
_LETTER, _SPACE, _SPECIAL, _NONE = range(4)


class TextGraph(Graph):
    """A graph builder with onnxruntime's string operators; methods return names of results."""

    def split(self, text: str, pattern: str) -> str:
        """The matches of an RE2 pattern in all texts as one row, with a break before each text.

        Of several matches at one position the longest is taken; unmatched characters are dropped.
        """
        pieces = self.add(
            "Tokenizer",
            text,
            domain=_MICROSOFT,
            mark=0,
            mincharnum=1,
            pad_value=_BREAK,
            tokenexp=pattern,
        )
        column = self.add("Concat", self.add("Shape", text), self.integers(1), axis=0)
        breaks = self.add("Expand", self.strings("break", [_BREAK]), column)
        return self.add("Reshape", self.add("Concat", breaks, pieces, axis=1), self.integers(-1))

    def look_up(self, keys: str, table: Mapping[str, str] | Mapping[str, int], default: Any) -> str:
        """The string or integer that a table has for each string, or the default."""
        kind, singular = ("strings", "string") if isinstance(default, str) else ("int64s", "int64")
        return self.add(
            "LabelEncoder",
            keys,
            domain=_CLASSICAL,
            keys_strings=list(table),
            **{f"values_{kind}": list(table.values()), f"default_{singular}": default},
        )

    def strings(self, name: str, values: Iterable[str]) -> str:
        """Adds a constant of strings."""
        return self.constant(name, list(values), np.object_)

    def cumulative_count(self, flags: str, axis: int = 0) -> str:
        """The number of flags set up to and including each position along an axis, int64."""
        ones = self.add("Cast", flags, to=TensorProto.INT64)
        return self.add("CumSum", ones, self.constant(f"axis_{axis}", axis, np.int64))

    def shift(self, flags: str) -> str:
        """The flag of the position before each one, in one row; False for the first."""
        but_last = self.add("Slice", flags, self.integers(0), self.integers(-1))
        return self.add("Concat", self.false(), but_last, axis=0)

    def false(self) -> str:
        """One flag that is not set, `(1,)`."""
        return self.constant("no", [False], np.bool_)

    def range(self, count: str) -> str:
        """The integers from 0 up to a count, `(1,)`, exclusive."""
        zero, one = (self.constant(f"step_{value}", value, np.int64) for value in (0, 1))
        return self.add("Range", zero, self.add("Squeeze", count), one)


def add_ids(
    graph: TextGraph, text: str, tables: TokenizerTables, max_length: int, keep: Keep
) -> tuple[str, str]:
    """Adds the nodes that do the work of `gatewise.vocab.tokenizer.encoding.Encoder`.

    Returns:
        The names of the ids and the attention mask, int64 `(batch, tokens)`.
    """
    add = _word_ids if tables.unit == "word" else _character_ids
    ids, is_token = add(graph, text, tables)
    rows = graph.add("Concat", graph.add("Shape", text), graph.integers(-1), axis=0)
    ids, is_token = (graph.add("Reshape", row, rows) for row in (ids, is_token))
    target = _targets(graph, is_token, max_length - 1, keep)
    return _padded(graph, text, ids, target)


def _word_ids(graph: TextGraph, text: str, tables: TokenizerTables) -> tuple[str, str]:
    """In one row, the id of the word that begins at each piece, and whether one begins there."""
    alphabet = {letter for token in tables.ids for letter in token}
    # A word with any other letter is unknown, lowercased or not.
    lowercase = {a: b for a, b in tables.lowercase.items() if alphabet.issuperset(b)}
    changing = set(map(ord, lowercase)) - tables.isolated
    single = class_of(tables.spaces | tables.isolated | changing)
    run = negated_class(tables.dropped | tables.spaces | tables.isolated | changing)
    pieces = graph.split(text, f"{_SPECIAL_PATTERN}|{single}|{run}+")

    table = {**lowercase, **{chr(code): _BREAK for code in sorted(tables.spaces)}}
    found = graph.look_up(pieces, table, _SAME)
    same = graph.add("Equal", found, graph.strings("same", [_SAME]))
    pieces = graph.add("Where", same, pieces, found)

    is_break = graph.add("Equal", pieces, graph.strings("break", [_BREAK]))
    pattern = f"{_SPECIAL_PATTERN}|{class_of(tables.isolated)}"
    isolated = graph.add("RegexFullMatch", pieces, pattern=pattern)
    of_word = graph.add("Not", graph.add("Or", is_break, isolated))
    continues = graph.add("And", of_word, graph.shift(of_word))
    begins = graph.add("Not", graph.add("Or", is_break, continues))

    # More pieces than the longest word has letters form no known word: not all need be joined.
    rounds = max(map(len, tables.ids), default=1).bit_length()
    words = _joined(graph, pieces, continues, rounds)
    special = {token: number for number, token in enumerate(SPECIAL_TOKENS)}
    return graph.look_up(words, {**tables.ids, **special}, UNKNOWN_ID), begins


def _joined(graph: TextGraph, pieces: str, continues: str, rounds: int) -> str:
    """Each piece joined with the pieces after it of the same word, up to `2 ** rounds` pieces.

    A piece without such a piece is joined with the first piece of all, which is a break: empty.
    """
    word = graph.cumulative_count(graph.add("Not", continues))
    count = graph.add("Shape", pieces)
    steps = graph.constant("steps", [[2**number] for number in range(rounds)], np.int64)
    ahead = graph.add("Min", graph.add("Add", graph.range(count), steps), count)
    # The position past the end counts as another word.
    words_ahead = graph.add("Gather", graph.add("Concat", word, graph.integers(0), axis=0), ahead)
    same = graph.add("Equal", words_ahead, word)
    sources = graph.add("Where", same, ahead, graph.integers(0))
    first = graph.add("Split", sources, outputs=rounds, axis=0, num_outputs=rounds)
    pieces = graph.add("Unsqueeze", pieces, graph.integers(0))
    for number in range(rounds):
        source = f"{first}_{number}" if number else first
        taken = graph.add("GatherElements", pieces, source, axis=1)
        pieces = graph.add("StringConcat", pieces, taken)
    return pieces


def _character_ids(graph: TextGraph, text: str, tables: TokenizerTables) -> tuple[str, str]:
    """In one row, the id of each character, and whether it is a token."""
    size = max(tables.ids.values(), default=UNKNOWN_ID) + 1
    codes = graph.look_up(
        graph.split(text, f"{_SPECIAL_PATTERN}|{negated_class(tables.dropped)}"),
        _character_codes(tables, size),
        4 * UNKNOWN_ID + _LETTER,
    )
    kind = graph.add("Mod", codes, graph.integers(4))
    ids = graph.add("Div", codes, graph.integers(4))
    is_letter, is_space, is_special = (
        graph.add("Equal", kind, graph.integers(which)) for which in (_LETTER, _SPACE, _SPECIAL)
    )
    # White space between letters is one token; at the ends and next to a special token it is none.
    # Counted from 0, the number of other pieces before a piece is the index of the next one.
    other = graph.add("Not", is_space)
    letters = graph.add("Concat", graph.add("Compress", is_letter, other), graph.false(), axis=0)
    letter_next = graph.add("Gather", letters, graph.cumulative_count(other))
    between = graph.add("And", graph.shift(is_letter), letter_next)
    is_token = graph.add("Or", is_letter, is_special)
    is_token = graph.add("Or", is_token, graph.add("And", is_space, between))
    if all(len(becomes) == 1 for becomes in tables.lowercase.values()):
        return ids, is_token
    # A character whose lower case is two characters has the second one in a column of its own.
    second = graph.add("Div", ids, graph.integers(size))
    first = graph.add("Mod", ids, graph.integers(size))
    is_second = graph.add("Cast", second, to=TensorProto.BOOL)
    return _columns(graph, first, second), _columns(graph, is_token, is_second)


def _character_codes(tables: TokenizerTables, size: int) -> dict[str, int]:
    """The code of each piece that a text of characters is split into, without unknown letters.

    Where the lower case is two characters, the id of the second is multiplied by `size`.
    """
    letters = {token: number for token, number in tables.ids.items() if token != SPACE}
    for character, becomes in tables.lowercase.items():
        ids = [tables.ids.get(letter, UNKNOWN_ID) for letter in becomes]
        if ids != [UNKNOWN_ID]:
            letters[character] = sum(number * size**place for place, number in enumerate(ids))
    space = tables.ids.get(SPACE, UNKNOWN_ID)
    return {
        **{letter: 4 * number + _LETTER for letter, number in letters.items()},
        **{chr(code): 4 * space + _SPACE for code in sorted(tables.spaces)},
        **{token: 4 * number + _SPECIAL for number, token in enumerate(SPECIAL_TOKENS)},
        _BREAK: _NONE,
    }


def _columns(graph: TextGraph, *rows: str) -> str:
    """Rows as the columns of a matrix."""
    return graph.add(
        "Concat", *(graph.add("Unsqueeze", row, graph.integers(1)) for row in rows), axis=1
    )


def _targets(graph: TextGraph, is_token: str, room: int, keep: Keep) -> str:
    """The position of each token among the ids of its text, int64; 0 for all that is not kept.

    `is_token` is bool, `(batch, pieces)`; at most `room` tokens of a text are kept.
    """
    position = graph.cumulative_count(is_token, axis=1)
    head = {"head": room, "tail": 0, "both": room - room // 2}[keep]
    nowhere, limit = graph.integers(0), graph.integers(head)
    later = nowhere
    if head < room:
        total = graph.add("ReduceMax", position, graph.integers(1))
        excess = graph.add("Max", graph.add("Sub", total, graph.integers(room)), nowhere)
        moved = graph.add("Sub", position, excess)
        later = graph.add("Where", graph.add("Greater", moved, limit), moved, nowhere)
    target = graph.add("Where", graph.add("LessOrEqual", position, limit), position, later)
    return graph.add("Where", is_token, target, nowhere)


def _padded(graph: TextGraph, text: str, ids: str, target: str) -> tuple[str, str]:
    """`[CLS]` and the kept tokens of each text, padded on the right; and the attention mask.

    Pieces with target 0 write `[CLS]` there: at least the break before each text does.
    """
    last = graph.add("ReduceMax", target, graph.integers(1))
    width = graph.add("ReduceMax", last, graph.integers(0), keepdims=0)
    width = graph.add("Add", width, graph.integers(1))
    shape = graph.add("Concat", graph.add("Shape", text), width, axis=0)
    padding = graph.add("Expand", graph.integers(PAD_ID), shape)
    kept = graph.add("Cast", target, to=TensorProto.BOOL)
    written = graph.add("Where", kept, ids, graph.integers(CLS_ID))
    # Several pieces write to position 0; reduction="max" makes the result defined.
    input_ids = graph.add("ScatterElements", padding, target, written, axis=1, reduction="max")
    filled = graph.add("LessOrEqual", graph.range(width), last)
    return input_ids, graph.add("Cast", filled, to=TensorProto.INT64)


def negated_class(codes: Iterable[int]) -> str:
    r"""The class of all characters except some.

    >>> negated_class([0x30, 0x31])
    '[^\\x{30}-\\x{31}]'
    """
    return f"[^{class_of(codes)[1:-1]}]"
