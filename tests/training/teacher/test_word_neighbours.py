import numpy as np
import pytest
from tokenizers import Tokenizer, models

from gatewise.training.teacher.word_neighbours import neighbours, whole_words


def tokenizer_of(tokens):
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return Tokenizer(models.WordLevel(vocabulary, unk_token=tokens[0]))


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        # WordPiece, in which continuing pieces are marked, and two cases of one word are one.
        (
            ["[UNK]", "City", "city", "##ing", "town", "x", "?", "雨"],
            {"city": 1, "town": 4, "雨": 7},
        ),
        # SentencePiece and byte-level BPE, in which the pieces that begin a word are.
        (["<unk>", "▁city", "ing", "▁town", "雨", "▁?"], {"city": 1, "town": 3, "雨": 4}),
        (["<unk>", "Ġcity", "ing", "ĠstraÃŁe"], {"city": 1, "straße": 3}),
    ],
)
def test_whole_words_are_found_by_the_marks_of_each_kind(tokens, words):
    assert whole_words(tokenizer_of(tokens), len(tokens)) == words


def test_near_words_are_found_nearest_first_and_frequent_ones_left_alone():
    frequent = [f"the{chr(97 + n)}" for n in range(2)]
    others = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]
    tokens = ["[UNK]", *frequent, "city", "town", "village", *others]
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(len(tokens), 50)).astype(np.float32)
    city = tokens.index("city")
    vectors[city + 1] = vectors[city] + 0.1 * vectors[10]
    vectors[city + 2] = vectors[city] + 0.5 * vectors[10]
    vectors[1] = vectors[2]
    found = neighbours(tokenizer_of(tokens), vectors, ["city", "thea", "unheard"])
    assert found["city"][:2] == ("town", "village")
    assert set(found) == {"city"}


def test_a_tokenizer_without_whole_words_has_no_neighbours():
    assert neighbours(tokenizer_of(["[UNK]", "##a"]), np.ones((2, 3), np.float32), ["a"]) == {}
