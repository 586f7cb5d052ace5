"""From texts to token ids, in operators of onnxruntime: what a recipe says, as nodes of a graph.

A text is cut by one regular expression into pieces, each of which a table can make lower case: a
run of characters that stay as they are, or one that changes. Dropped characters match nothing, so
they are gone. From there on all texts of a batch are one row of pieces, with a break before each
text. The pieces of a word are joined by doubling: in each round a piece takes what the piece 1, 2,
4, … places on has gathered, if that is of the same word. So the work grows with the length of the
texts, however long a word is, and no loop is needed. What is left is to look every word up, and to
lay those ids side by side that a model reads.

Knows neither the network nor its labels.
"""

import re

import numpy as np
from gatewise.training.mobile.text_operators import BREAK, TextGraph, without
from gatewise.training.mobile.tokenizer_tables import BLANK, TokenizerTables
from gatewise.vocab.tokenizer.character_classes import class_of
from gatewise.vocab.tokenizer.encoding import Keep
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID, SPECIAL_TOKENS, UNKNOWN_ID
from onnx import TensorProto

# A special token is one too where somebody types it. Brackets are never a part of a word.
_TYPED_TOKENS = "|".join(map(re.escape, SPECIAL_TOKENS))
# What a table gives for a piece that it does not hold; never a piece itself.
_SAME = " "
# A character's number is four times its id, plus what kind of character it is.
_LETTER, _SPACE, _TYPED, _BREAK = range(4)


def add_ids(
    graph: TextGraph, text: str, recipe: TokenizerTables, max_length: int, keep: Keep
) -> tuple[str, str]:
    """Adds the nodes that do what `gatewise.vocab.tokenizer.encoding.Encoder` does.

    Args:
        graph: Where the nodes go.
        text: Name of the texts, strings, `(batch,)`; at least one.
        recipe: How the dictionary makes ids.
        max_length: Most ids kept of a text, the begin mark included.
        keep: Which part of a longer text is kept.

    Returns:
        The names of the ids and the attention mask, int64 `(batch, tokens)`.
    """
    add = _word_ids if recipe.unit == "word" else _character_ids
    ids, is_token = add(graph, text, recipe)
    rows = graph.add("Concat", graph.add("Shape", text), graph.integers(-1), axis=0)
    ids, is_token = (graph.add("Reshape", row, rows) for row in (ids, is_token))
    target = _targets(graph, is_token, max_length - 1, keep)
    return _laid_out(graph, text, ids, target)


def _word_ids(graph: TextGraph, text: str, recipe: TokenizerTables) -> tuple[str, str]:
    """The id of the word that begins at each piece, and whether one begins there, in one row."""
    alphabet = {letter for token in recipe.ids for letter in token}
    # A word with one of the others is unknown, whether that is changed or not.
    lowered = {a: b for a, b in recipe.lowered.items() if alphabet.issuperset(b)}
    changing = set(map(ord, lowered)) - recipe.alone
    one = class_of(recipe.spaces | recipe.alone | changing)
    run = without(recipe.dropped | recipe.spaces | recipe.alone | changing)
    pieces = graph.cut(text, f"{_TYPED_TOKENS}|{one}|{run}+")

    table = {**lowered, **{chr(code): BREAK for code in sorted(recipe.spaces)}}
    found = graph.other_strings(pieces, table, _SAME)
    same = graph.add("Equal", found, graph.strings("same", [_SAME]))
    pieces = graph.add("Where", same, pieces, found)

    nothing = graph.add("Equal", pieces, graph.strings("break", [BREAK]))
    pattern = f"{_TYPED_TOKENS}|{class_of(recipe.alone)}"
    alone = graph.add("RegexFullMatch", pieces, pattern=pattern)
    of_word = graph.add("Not", graph.add("Or", nothing, alone))
    goes_on = graph.add("And", of_word, graph.before(of_word))
    begins = graph.add("Not", graph.add("Or", nothing, goes_on))

    # More pieces than the longest word has letters make no known word: they need not all be joined.
    rounds = max(map(len, recipe.ids), default=1).bit_length()
    words = _joined(graph, pieces, goes_on, rounds)
    typed = {token: number for number, token in enumerate(SPECIAL_TOKENS)}
    return graph.numbers(words, {**recipe.ids, **typed}, UNKNOWN_ID), begins


def _joined(graph: TextGraph, pieces: str, goes_on: str, rounds: int) -> str:
    """Each piece with those after it that go on with its word, up to `2 ** rounds` together.

    The first piece of all is a break: what has nothing to take takes that.
    """
    word = graph.count(graph.add("Not", goes_on))
    count = graph.add("Shape", pieces)
    steps = graph.constant("steps", [[2**number] for number in range(rounds)], np.int64)
    ahead = graph.add("Min", graph.add("Add", graph.up_to(count), steps), count)
    # Past the end is a word of its own.
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


def _character_ids(graph: TextGraph, text: str, recipe: TokenizerTables) -> tuple[str, str]:
    """The id of each character, and whether it is a token, in one row."""
    size = max(recipe.ids.values(), default=UNKNOWN_ID) + 1
    numbers = graph.numbers(
        graph.cut(text, f"{_TYPED_TOKENS}|{without(recipe.dropped)}"),
        _character_numbers(recipe, size),
        4 * UNKNOWN_ID + _LETTER,
    )
    kind = graph.add("Mod", numbers, graph.integers(4))
    ids = graph.add("Div", numbers, graph.integers(4))
    is_letter, is_space, is_typed = (
        graph.add("Equal", kind, graph.integers(which)) for which in (_LETTER, _SPACE, _TYPED)
    )
    # White space counts between letters, once, and not beside the ends or a typed token. How many
    # others there were is, counted from 0, the place of the next one among those.
    other = graph.add("Not", is_space)
    letters = graph.add("Concat", graph.add("Compress", is_letter, other), graph.no(), axis=0)
    letter_next = graph.add("Gather", letters, graph.count(other))
    between = graph.add("And", graph.before(is_letter), letter_next)
    is_token = graph.add("Or", is_letter, is_typed)
    is_token = graph.add("Or", is_token, graph.add("And", is_space, between))
    if all(len(becomes) == 1 for becomes in recipe.lowered.values()):
        return ids, is_token
    # What becomes two letters has the second one in a column of its own.
    second = graph.add("Div", ids, graph.integers(size))
    first = graph.add("Mod", ids, graph.integers(size))
    is_second = graph.add("Cast", second, to=TensorProto.BOOL)
    return _columns(graph, first, second), _columns(graph, is_token, is_second)


def _character_numbers(recipe: TokenizerTables, size: int) -> dict[str, int]:
    """The number of each piece that a text of characters is cut into, unknown letters left out.

    Of two letters that one becomes, the id of the second counts `size` times.
    """
    letters = {token: number for token, number in recipe.ids.items() if token != BLANK}
    for character, becomes in recipe.lowered.items():
        ids = [recipe.ids.get(letter, UNKNOWN_ID) for letter in becomes]
        if ids != [UNKNOWN_ID]:
            letters[character] = sum(number * size**place for place, number in enumerate(ids))
    space = recipe.ids.get(BLANK, UNKNOWN_ID)
    return {
        **{letter: 4 * number + _LETTER for letter, number in letters.items()},
        **{chr(code): 4 * space + _SPACE for code in sorted(recipe.spaces)},
        **{token: 4 * number + _TYPED for number, token in enumerate(SPECIAL_TOKENS)},
        BREAK: _BREAK,
    }


def _columns(graph: TextGraph, *rows: str) -> str:
    """Rows as columns side by side."""
    return graph.add(
        "Concat", *(graph.add("Unsqueeze", row, graph.integers(1)) for row in rows), axis=1
    )


def _targets(graph: TextGraph, is_token: str, room: int, keep: Keep) -> str:
    """The place of each token among the ids, int64, and 0 for what is not among them.

    Args:
        graph: Where the nodes go.
        is_token: bool, `(batch, pieces)`.
        room: Most tokens kept of a text.
        keep: Which part of a longer text is kept.
    """
    place = graph.count(is_token, axis=1)
    head = {"head": room, "tail": 0, "both": room - room // 2}[keep]
    nowhere, limit = graph.integers(0), graph.integers(head)
    later = nowhere
    if head < room:
        total = graph.add("ReduceMax", place, graph.integers(1))
        excess = graph.add("Max", graph.add("Sub", total, graph.integers(room)), nowhere)
        moved = graph.add("Sub", place, excess)
        later = graph.add("Where", graph.add("Greater", moved, limit), moved, nowhere)
    target = graph.add("Where", graph.add("LessOrEqual", place, limit), place, later)
    return graph.add("Where", is_token, target, nowhere)


def _laid_out(graph: TextGraph, text: str, ids: str, target: str) -> tuple[str, str]:
    """The begin mark and then the tokens that are kept, padded on the right; and the mask.

    What goes nowhere writes the begin mark at place 0: the break before each text does so.
    """
    last = graph.add("ReduceMax", target, graph.integers(1))
    width = graph.add("ReduceMax", last, graph.integers(0), keepdims=0)
    width = graph.add("Add", width, graph.integers(1))
    shape = graph.add("Concat", graph.add("Shape", text), width, axis=0)
    padding = graph.add("Expand", graph.integers(PAD_ID), shape)
    kept = graph.add("Cast", target, to=TensorProto.BOOL)
    written = graph.add("Where", kept, ids, graph.integers(CLS_ID))
    # Several write to place 0; with `max` it is defined what comes of that.
    input_ids = graph.add("ScatterElements", padding, target, written, axis=1, reduction="max")
    filled = graph.add("LessOrEqual", graph.up_to(width), last)
    return input_ids, graph.add("Cast", filled, to=TensorProto.INT64)
