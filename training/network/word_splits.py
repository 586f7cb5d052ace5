"""The pieces that each word of a dictionary would be split into if the dictionary lacked it.

From them follows how often pieces occur in texts with unknown words, which the training texts do
not have.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.coverage import CoverageCounter
from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from gatewise.vocab.tokenizer.word_pieces import split_word


@dataclass(frozen=True)
class WordSplits:
    """The pieces of words.

    Attributes:
        first_piece: Id of the first entry that is no word.
        pieces: By the id of a word, the ids of the entries that it would be split into; some of
            them may be words. Words of which a character is no piece are left out.
    """

    first_piece: int
    pieces: Mapping[int, list[int]]

    def final_pieces(self) -> frozenset[int]:
        """The pieces that end a word more often than not."""
        ends, others = Counter[int](), Counter[int]()
        for pieces in self.pieces.values():
            ends[pieces[-1]] += 1
            others.update(pieces[:-1])
        return frozenset(piece for piece in ends if ends[piece] > others[piece])


def word_splits(tokenizer: Tokenizer) -> WordSplits | None:
    """The pieces of the words of a dictionary; None if it has no pieces."""
    counter = CoverageCounter(tokenizer)
    if not counter.has_pieces:
        return None
    ids = tokenizer.get_vocab(with_added_tokens=False)
    entries = {entry: id_ for entry, id_ in ids.items() if entry not in SPECIAL_TOKENS}
    split = {
        id_: split_word(word, entries)
        for word, id_ in sorted(entries.items(), key=lambda entry: entry[1])
        if id_ < counter.first_piece
    }
    return WordSplits(
        counter.first_piece, {id_: pieces for id_, pieces in split.items() if pieces is not None}
    )
