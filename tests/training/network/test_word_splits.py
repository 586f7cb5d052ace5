from gatewise.training.network.word_splits import WordSplits, word_splits
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

WORDS = ["walk", "walks", "walking", "talk", "talking", "the"]


def test_a_word_is_split_into_what_it_would_be_read_as_without_it():
    tokenizer = train_tokenizer([" ".join(WORDS)], pieces=100)
    splits = word_splits(tokenizer)
    pieces = {
        word: [tokenizer.id_to_token(id_) for id_ in splits.pieces[tokenizer.token_to_id(word)]]
        for word in WORDS
    }
    assert pieces["walks"] == ["walk", "##s"]
    assert pieces["talking"] == ["talk", "##ing"]
    assert pieces["the"] == ["t", "##h", "##e"]
    assert splits.piece_ids.start == 3 + len(WORDS)
    assert set(splits.pieces) == set(range(3, 3 + len(WORDS)))


def test_final_pieces_end_more_words_than_they_are_inside_of():
    splits = WordSplits(range(10, 14), {3: [10, 11], 4: [12, 11], 5: [10, 11, 12], 6: [10, 13, 13]})
    # 12 ends a word and begins another; 13 is inside of one and ends it.
    assert splits.final_pieces() == {11}


def test_words_whose_characters_are_no_pieces_are_left_out():
    tokenizer = train_tokenizer(["walk walks ö"], pieces=100)
    assert tokenizer.token_to_id("ö") not in word_splits(tokenizer).pieces


def test_a_dictionary_without_pieces_has_none():
    for options in ({}, {"unit": "character"}, {"unit": "subword"}):
        assert word_splits(train_tokenizer(["walk walks"], **options)) is None
