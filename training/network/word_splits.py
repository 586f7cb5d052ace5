"""The pieces that each word of a dictionary would be split into if the dictionary lacked it.

From them follows how often pieces occur in texts with unknown words, which the training texts do
not have.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer

from gatewise.vocab.tokenizer.tokenizer import SPECIAL_TOKENS
from gatewise.vocab.tokenizer.word_pieces import piece_ids, split_word


@dataclass(frozen=True)
class WordSplits:
    """The pieces of words.

    Attributes:
        piece_ids: The ids of the entries that are no words.
        pieces: By the id of a word, the ids of the entries that it would be split into; some of
            them may be words. Words of which a character is no piece are left out.
    """

    piece_ids: range
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
    pieces_at = piece_ids(tokenizer)
    if not pieces_at:
        return None
    ids = tokenizer.get_vocab(with_added_tokens=False)
    entries = {entry: id_ for entry, id_ in ids.items() if entry not in SPECIAL_TOKENS}
    split = {
        id_: split_word(word, entries)
        for word, id_ in sorted(entries.items(), key=lambda entry: entry[1])
        if id_ not in pieces_at
    }
    return WordSplits(
        pieces_at, {id_: pieces for id_, pieces in split.items() if pieces is not None}
    )
