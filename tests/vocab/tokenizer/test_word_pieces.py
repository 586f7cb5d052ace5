import time

from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.tokenizer.tokenizer import (
    MAX_WORD_CHARACTERS,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
    train_tokenizer,
)
from gatewise.vocab.tokenizer.word_pieces import split_word, word_pieces

WORDS = ["walk", "walks", "walking", "talk", "talking", "a", "the"]


def test_characters_come_first_and_then_the_parts_that_save_most():
    # In so many words: k and l 5, a 5, g, i and n 2, e, h and s 1; w begins 3 words, t 3.
    assert word_pieces(WORDS, 5) == ["##a", "##k", "##l", "t", "w"]
    every = word_pieces(WORDS, 1000)
    assert {"##e", "##h", "##s"} <= set(every)  # single characters, though in a single word
    assert not {"a", "##ks", "th"} & set(every)
    # ##alk saves 2 characters in each of 5 words.
    assert set(word_pieces(WORDS, 12)) - set(word_pieces(WORDS, 11)) == {"##alk"}
    assert max(len(piece.removeprefix("##")) for piece in every) == 6


def test_pieces_inside_words_come_before_those_at_their_begin():
    marks = [piece.startswith("##") for piece in word_pieces(WORDS, 30)]
    assert marks == sorted(marks, reverse=True)
    tokenizer = train_tokenizer([" ".join(WORDS)], pieces=1000)
    entries = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    count = len(SPECIAL_TOKENS) + len(WORDS)
    assert set(entries[:count]) == {*SPECIAL_TOKENS, *WORDS}
    assert entries[count].startswith("##")


def test_a_word_that_is_not_in_the_vocabulary_is_read_as_its_longest_pieces():
    tokenizer = train_tokenizer([" ".join(WORDS)], pieces=1000)
    for word, tokens in {
        "walking": ["walking"],
        "talks": ["talk", "##s"],
        "stalk": ["[UNK]"],  # no word begins with s
        "thewalk": ["[UNK]"],  # no word has w inside
    }.items():
        assert tokenizer.encode(word).tokens[1:] == tokens


def test_frequent_words_leave_room_for_pieces():
    texts = [f"word{number} " * (200 - number) for number in range(150)]
    tokenizer = train_tokenizer(texts, vocab_size=103, pieces=20)
    entries = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    assert len(entries) == 103
    assert entries[3:83] == [f"word{number}" for number in range(80)]
    assert UNKNOWN_ID not in tokenizer.encode("word149").ids
    assert len(tokenizer.encode("word149").ids) > 2


def test_a_word_that_makes_room_for_pieces_stays_one_if_it_is_a_piece():
    words = ["aa", "ab", "ac", "ad", "za", "ze", "zi", "zo"]
    texts = [" ".join([*words, *words]), "z"]
    tokenizer = train_tokenizer(texts, vocab_size=len(SPECIAL_TOKENS) + 9, pieces=9)
    assert tokenizer.encode("zb").tokens[1:] == ["z", "##b"]
    assert tokenizer.get_vocab_size() == len(SPECIAL_TOKENS) + 9


@given(st.lists(st.text("abcé한", min_size=1, max_size=8), min_size=1, max_size=30, unique=True))
def test_words_are_split_as_the_tokenizer_splits_them(words):
    tokenizer = train_tokenizer([" ".join(words)], pieces=100)
    ids = {entry: id_ for entry, id_ in tokenizer.get_vocab().items() if entry[0] != "["}
    for word in words:
        # The same tokenizer, trained without the word, has the same or fewer pieces.
        rest = {entry: id_ for entry, id_ in ids.items() if entry != word}
        found = split_word(word, ids)
        assert found == split_word(word, rest)
        if found is not None:
            names = {id_: entry for entry, id_ in ids.items()}
            pieces = [names[id_] for id_ in found]
            assert "".join(piece.removeprefix("##") for piece in pieces) == word
            assert pieces[0] != word
            assert all(piece.startswith("##") for piece in pieces[1:])
    for word in ("".join(words[:3]), words[0] + "a", "b" + words[-1]):
        if word in ids:
            continue
        expected = split_word(word, ids)
        found = tokenizer.encode(word).ids[1:]
        assert found == ([UNKNOWN_ID] if expected is None else expected)


def test_a_very_long_word_takes_no_longer_than_others():
    tokenizer = train_tokenizer(["a aa aaa b"], pieces=50)
    tokens = tokenizer.encode(f"{'a' * MAX_WORD_CHARACTERS} {'a' * (MAX_WORD_CHARACTERS + 1)}")
    assert UNKNOWN_ID not in tokens.ids[:-1]
    assert tokens.ids[-1] == UNKNOWN_ID
    started = time.process_time()
    assert tokenizer.encode("a" * 100_000).ids[1:] == [UNKNOWN_ID]
    assert time.process_time() - started < 1
