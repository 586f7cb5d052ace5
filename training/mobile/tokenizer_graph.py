"""A tokenizer as ONNX nodes: texts in, token ids and attention mask out.

One regular expression splits a text into pieces that a table can lowercase: a run of characters
that stay as they are, or one character that changes. Dropped characters match nothing. The pieces
of all texts of a batch then form one row, with an empty piece as a break before each text. The
pieces of a word are joined by doubling: in each round a piece is joined with what the piece 1, 2,
4, … positions ahead has gathered, if both are of the same word. So the work is proportional to the
length of the texts, whatever the length of a word, without a loop. Words are then looked up, those
that the vocabulary lacks are split into pieces of it, and the ids that the network reads are
written side by side.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from gatewise.training.mobile.tokenizer_tables import SPACE, TokenizerTables
from gatewise.training.onnx_export.graph_builder import Graph
from gatewise.vocab.tokenizer.character_classes import class_of
from gatewise.vocab.tokenizer.text_limit import Keep
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
_ANY = "(?s:.)"
"""RE2's pattern of any character."""
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

    def scatter(self, values: str, places: str, updates: str, axis: int = 0) -> str:
        """The greatest of each value and those written to its place, int64.

        Several may be written to one place.
        """
        return self.add("ScatterElements", values, places, updates, axis=axis, reduction="max")

    def flat(self, values: str) -> str:
        """Values in one row."""
        return self.add("Reshape", values, self.integers(-1))

    def range(self, count: str) -> str:
        """The integers from 0 up to a count, `(1,)`, exclusive."""
        zero, one = (self.constant(f"step_{value}", value, np.int64) for value in (0, 1))
        return self.add("Range", zero, self.add("Squeeze", count), one)


@dataclass(frozen=True)
class _Tokens:
    """The tokens of all texts of a batch: names of results.

    Attributes:
        ids: The id of the token at each piece of the texts, in one row.
        count: The number of tokens there: 0 for none, more than 1 for a word in pieces.
        further: The tokens of words in pieces after the first; None if there are none.
    """

    ids: str
    count: str
    further: "_Further | None" = None


@dataclass(frozen=True)
class _Further:
    """The second and further tokens of words, in one row: names of results.

    Attributes:
        ids: Their ids.
        place: The piece of the texts at which the word begins.
        rank: Number of tokens of the word before each.
    """

    ids: str
    place: str
    rank: str


def add_ids(
    graph: TextGraph, text: str, tables: TokenizerTables, max_length: int, keep: Keep
) -> tuple[str, str]:
    """Adds the nodes that do the work of `gatewise.vocab.tokenizer.encoding.Encoder`.

    Returns:
        The names of the ids and the attention mask, int64 `(batch, tokens)`.
    """
    add = _word_ids if tables.unit == "word" else _character_ids
    tokens = add(graph, text, tables)
    return _padded(graph, text, tokens, max_length - 1, keep)


def _word_ids(graph: TextGraph, text: str, tables: TokenizerTables) -> _Tokens:
    alphabet = {letter for token in (*tables.ids, *tables.pieces) for letter in token}
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
    longest = tables.longest_word + 1 if tables.pieces else max(map(len, tables.ids), default=1)
    words = _joined(graph, pieces, continues, longest.bit_length())
    special = {token: number for number, token in enumerate(SPECIAL_TOKENS)}
    ids = graph.look_up(words, {**tables.ids, **special}, UNKNOWN_ID)
    tokens = _Tokens(ids, graph.add("Cast", begins, to=TensorProto.INT64))
    if not tables.pieces:
        return tokens
    is_unknown = graph.add("Equal", ids, graph.integers(UNKNOWN_ID))
    is_short = graph.add("RegexFullMatch", words, pattern=f"{_ANY}{{1,{tables.longest_word}}}")
    for condition in (begins, of_word, is_short):
        is_unknown = graph.add("And", is_unknown, condition)
    return _with_pieces(graph, tokens, words, is_unknown, tables)


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
    return graph.flat(pieces)


def _with_pieces(
    graph: TextGraph, tokens: _Tokens, words: str, is_unknown: str, tables: TokenizerTables
) -> _Tokens:
    """The tokens with words that are not in the vocabulary split into pieces.

    A word becomes its longest beginning that is in the vocabulary, then the longest piece that
    fits, and so on; if none fits somewhere, it stays unknown. At each character of such a word, the
    longest piece is found by itself; it points to the character after it. Which characters begin a
    piece is then found by following the pointers from the first piece: each round follows those of
    twice as many pieces. The word is split if they lead to its end.

    Args:
        graph: The graph.
        tokens: The tokens, with unknown words.
        words: The word that begins at each piece of the texts.
        is_unknown: Which of them are to be split.
        tables: The vocabulary.
    """
    chars = _Characters(graph, words, is_unknown)
    zero, one = graph.integers(0), graph.integers(1)

    heads, head_length = _heads(graph, chars, tables)
    head_id = graph.add("Gather", heads, graph.add("Add", chars.starts, head_length))
    length, piece_id = _longest_pieces(graph, chars, tables)

    # Pointers: two more places, the end of the last word and one for a character without a piece.
    nowhere = graph.add("Add", chars.count, one)
    after = graph.add("Add", chars.place, length)
    after = graph.add("Where", graph.add("Greater", length, zero), after, nowhere)
    after = graph.add("Where", chars.begins, chars.place, after)
    after = graph.add("Concat", after, chars.count, nowhere, axis=0)
    first = graph.add("Add", graph.add("Add", chars.starts, head_length), one)
    first = graph.add("Where", graph.add("Greater", head_length, zero), first, nowhere)
    nothing = graph.add("Expand", zero, graph.add("Shape", after))
    reached = graph.scatter(nothing, first, graph.add("Expand", one, graph.add("Shape", first)))
    for _ in range(tables.longest_word.bit_length()):
        reached = graph.scatter(reached, after, reached)
        after = graph.add("Gather", after, after)

    is_split = graph.add("Gather", reached, chars.ends)
    of_split = graph.add("Gather", is_split, chars.word)
    begins_piece = graph.add("Mul", graph.add("Gather", reached, chars.place), of_split)
    begins_piece = graph.add("Where", chars.begins, zero, begins_piece)
    is_piece = graph.add("Cast", begins_piece, to=TensorProto.BOOL)
    rank = graph.cumulative_count(is_piece)
    before = graph.add("Gather", rank, chars.starts)
    pieces = graph.add("Sub", graph.add("Gather", rank, graph.add("Sub", chars.ends, one)), before)
    rank = graph.add("Sub", rank, graph.add("Gather", before, chars.word))

    old_ids = graph.add("Gather", tokens.ids, chars.of_text)
    new_ids = graph.add("Where", graph.add("Cast", is_split, to=TensorProto.BOOL), head_id, old_ids)
    counts = graph.add("Add", graph.add("Gather", tokens.count, chars.of_text), pieces)
    return _Tokens(
        ids=graph.add("ScatterElements", tokens.ids, chars.of_text, new_ids, axis=0),
        count=graph.add("ScatterElements", tokens.count, chars.of_text, counts, axis=0),
        further=_Further(
            ids=graph.add("Compress", piece_id, is_piece, axis=0),
            place=graph.add(
                "Compress",
                graph.add("Gather", chars.of_text, chars.word),
                is_piece,
                axis=0,
            ),
            rank=graph.add("Compress", rank, is_piece, axis=0),
        ),
    )


class _Characters:
    """The characters of some words in one row, an empty one before each word: names of results.

    The first word is empty, so that there is always one.

    Attributes:
        of_text: The piece of the texts at which each word begins; 0 for the empty one.
        row: The characters.
        begins: Whether there is the empty character before a word.
        count: Number of characters, `(1,)`.
        place: The integers from 0 up to the count, exclusive.
        word: The number of the word of each character.
        starts: The place before each word.
        ends: The place after each word.
        offset: Characters of the word up to and including each; 0 for the empty one.
    """

    def __init__(self, graph: TextGraph, words: str, chosen: str) -> None:
        zero, one = graph.integers(0), graph.integers(1)
        places = graph.range(graph.add("Shape", words))
        at = graph.add("Compress", places, chosen, axis=0)
        self.of_text = graph.add("Concat", zero, at, axis=0)
        empty = graph.strings("break", [_BREAK])
        words = graph.add("Concat", empty, graph.add("Compress", words, chosen, axis=0), axis=0)

        padded = graph.split(words, _ANY)
        size = graph.add("Shape", padded)
        width = graph.add("Div", size, graph.add("Shape", words))
        column = graph.add("Mod", graph.range(size), width)
        is_first = graph.add("Equal", column, zero)
        is_character = graph.add("Not", graph.add("Equal", padded, empty))
        used = graph.add("Or", is_first, is_character)
        self.row = graph.add("Compress", padded, used, axis=0)
        self.begins = graph.add("Compress", is_first, used, axis=0)

        self.count = graph.add("Shape", self.row)
        self.place = graph.range(self.count)
        self.word = graph.add("Sub", graph.cumulative_count(self.begins), one)
        self.starts = graph.add("Compress", self.place, self.begins, axis=0)
        to_end = graph.integers(2**31)
        later = graph.add("Slice", self.starts, one, to_end)
        self.ends = graph.add("Concat", later, self.count, axis=0)
        self.start = graph.add("Gather", self.starts, self.word)
        self.offset = graph.add("Sub", self.place, self.start)


def _heads(graph: TextGraph, chars: _Characters, tables: TokenizerTables) -> tuple[str, str]:
    """The id of each beginning of a word, by its last character, and each word's longest one.

    0 if there is none.
    """
    longest = max(map(len, tables.ids), default=1)
    rounds = (longest - 1).bit_length()
    prefix = chars.row
    for number in range(rounds):
        ahead = graph.add("Sub", chars.place, graph.integers(2**number))
        source = graph.add("Max", ahead, chars.start)
        prefix = graph.add("StringConcat", graph.add("Gather", prefix, source), prefix)
    zero = graph.integers(0)
    ids = graph.look_up(prefix, tables.ids, 0)
    # Further on, the string is not the whole beginning.
    is_whole = graph.add("LessOrEqual", chars.offset, graph.integers(2**rounds))
    ids = graph.add("Where", is_whole, ids, zero)
    length = graph.add("Where", graph.add("Greater", ids, zero), chars.offset, zero)
    nothing = graph.add("Expand", zero, graph.add("Shape", chars.starts))
    return ids, graph.scatter(nothing, chars.word, length)


def _longest_pieces(
    graph: TextGraph, chars: _Characters, tables: TokenizerTables
) -> tuple[str, str]:
    """Characters and id of the longest piece that begins at each character; 0 if there is none."""
    zero = graph.integers(0)
    length = piece_id = graph.add("Expand", zero, chars.count)
    words = graph.add("Concat", chars.word, graph.integers(-1), axis=0)
    string = chars.row
    for size in range(1, max(map(len, tables.pieces)) + 1):
        if size > 1:
            ahead = graph.add("Add", chars.place, graph.integers(size - 1))
            ahead = graph.add("Min", ahead, chars.count)
            same = graph.add("Equal", graph.add("Gather", words, ahead), chars.word)
            # Where the word has ended, the string stays shorter than the entries of the table.
            ahead = graph.add("Where", same, ahead, zero)
            string = graph.add("StringConcat", string, graph.add("Gather", chars.row, ahead))
        table = {piece: id_ for piece, id_ in tables.pieces.items() if len(piece) == size}
        if table:
            found = graph.look_up(string, table, 0)
            is_found = graph.add("Greater", found, zero)
            length = graph.add("Where", is_found, graph.integers(size), length)
            piece_id = graph.add("Where", is_found, found, piece_id)
    return length, piece_id


def _character_ids(graph: TextGraph, text: str, tables: TokenizerTables) -> _Tokens:
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
        return _Tokens(ids, graph.add("Cast", is_token, to=TensorProto.INT64))
    # A character whose lower case is two characters has the second one in a column of its own.
    second = graph.add("Div", ids, graph.integers(size))
    first = graph.add("Mod", ids, graph.integers(size))
    is_second = graph.add("Cast", second, to=TensorProto.BOOL)
    count = graph.add("Cast", _columns(graph, is_token, is_second), to=TensorProto.INT64)
    return _Tokens(_columns(graph, first, second), count)


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


def _targets(graph: TextGraph, position: str, total: str, room: int, keep: Keep) -> str:
    """The position of tokens among the kept ids of their text, int64; 0 for those not kept.

    Args:
        graph: The graph.
        position: The position of each token in its text, from 1.
        total: Number of tokens of its text.
        room: Maximum number of tokens kept of a text.
        keep: Which are kept.
    """
    head = {"head": room, "tail": 0, "both": room - room // 2}[keep]
    nowhere, limit = graph.integers(0), graph.integers(head)
    later = nowhere
    if head < room:
        excess = graph.add("Max", graph.add("Sub", total, graph.integers(room)), nowhere)
        moved = graph.add("Sub", position, excess)
        later = graph.add("Where", graph.add("Greater", moved, limit), moved, nowhere)
    return graph.add("Where", graph.add("LessOrEqual", position, limit), position, later)


def _padded(graph: TextGraph, text: str, tokens: _Tokens, room: int, keep: Keep) -> tuple[str, str]:
    """`[CLS]` and the kept tokens of each text, padded on the right; and the attention mask.

    Pieces without a token write `[CLS]` to position 0: at least the break before each text does.
    """
    zero, one = graph.integers(0), graph.integers(1)
    rows = graph.add("Concat", graph.add("Shape", text), graph.integers(-1), axis=0)
    ids, count = (graph.add("Reshape", row, rows) for row in (tokens.ids, tokens.count))
    through = graph.add("CumSum", count, graph.constant("axis_1", 1, np.int64))
    total = graph.add("ReduceMax", through, one)
    # The position of the first token of each piece.
    position = graph.add("Add", graph.add("Sub", through, count), one)
    target = _targets(graph, position, total, room, keep)
    target = graph.add("Where", graph.add("Greater", count, zero), target, zero)

    last = graph.add("Min", total, graph.integers(room))
    width = graph.add("Add", graph.add("ReduceMax", last, zero, keepdims=0), one)
    shape = graph.add("Concat", graph.add("Shape", text), width, axis=0)
    padding = graph.add("Expand", graph.integers(PAD_ID), shape)
    input_ids = graph.scatter(padding, target, _if_kept(graph, target, ids), axis=1)
    if further := tokens.further:
        columns = graph.add("Gather", graph.add("Shape", ids), one)
        row = graph.add("Div", further.place, columns)
        begin = graph.add("Gather", graph.flat(position), further.place)
        position = graph.add("Add", begin, further.rank)
        total = graph.add("Gather", graph.flat(total), row)
        target = _targets(graph, position, total, room, keep)
        at = graph.add("Add", graph.add("Mul", row, width), target)
        kept = _if_kept(graph, target, further.ids)
        input_ids = graph.add("Reshape", graph.scatter(graph.flat(input_ids), at, kept), shape)
    filled = graph.add("LessOrEqual", graph.range(width), last)
    return input_ids, graph.add("Cast", filled, to=TensorProto.INT64)


def _if_kept(graph: TextGraph, target: str, ids: str) -> str:
    """The ids of tokens with a target; `[CLS]` for others, which are written to position 0."""
    kept = graph.add("Cast", target, to=TensorProto.BOOL)
    return graph.add("Where", kept, ids, graph.integers(CLS_ID))


def negated_class(codes: Iterable[int]) -> str:
    r"""The class of all characters except some.

    >>> negated_class([0x30, 0x31])
    '[^\\x{30}-\\x{31}]'
    """
    return f"[^{class_of(codes)[1:-1]}]"
