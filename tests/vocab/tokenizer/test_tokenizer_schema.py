"""Every dictionary that can be trained is recognized, and nothing else is."""

import itertools
import json

import pytest
from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.subwords import MAX_ENTRY_CHARACTERS
from gatewise.vocab.tokenizer.tokenizer import parse_tokenizer, serialize_tokenizer, train_tokenizer

TEXTS = ["The Café is nice, it's ΣΑΣ at 10:30! 你好 "] * 3 + ["a b a b c hello hello world"]
UNITS = [
    ("word", "bpe"),
    ("character", "bpe"),
    ("ngram", "bpe"),
    ("subword", "bpe"),
    ("subword", "wordpiece"),
    ("subword", "unigram"),
]


def trained(unit="word", algorithm="bpe", **options) -> dict:
    tokenizer = train_tokenizer(TEXTS, unit=unit, algorithm=algorithm, **options)
    return json.loads(serialize_tokenizer(tokenizer))


def parse(document: dict):
    return parse_tokenizer(json.dumps(document).encode())


@pytest.mark.parametrize(("unit", "algorithm"), UNITS)
def test_every_dictionary_is_read_as_it_was_written(unit, algorithm):
    forms = ["none", "nfc", "nfkc", "nfd", "nfkd"]
    for lowercase, accents, form in itertools.product([True, False], ["keep", "strip"], forms):
        contents = serialize_tokenizer(
            train_tokenizer(
                TEXTS,
                unit=unit,
                algorithm=algorithm,
                lowercase=lowercase,
                accents=accents,
                normalization=form,
            )
        )
        assert serialize_tokenizer(parse_tokenizer(contents)) == contents


def test_classes_of_other_unicode_tables_are_classes_still():
    """A Python of another version knows other characters, and its dictionaries load too."""
    document = trained()
    (step, *_) = document["normalizer"]["normalizers"]
    step["pattern"]["Regex"] = step["pattern"]["Regex"][:-1] + "\\x{1e4d0}-\\x{1e4f9}]"
    assert parse(document).encode("a\U0001e4d0b").tokens == parse(document).encode("ab").tokens


@pytest.mark.parametrize(
    "pattern", ["[a]", "[\\x{61}]*", "[\\x{61}]]", "([\\x{61}])", "[\\x{1234567}]", "[]"]
)
def test_what_is_no_plain_class_is_refused(pattern):
    document = trained()
    document["normalizer"]["normalizers"][0]["pattern"]["Regex"] = pattern
    with pytest.raises(TokenizerError, match="its normalizer is not as Gatewise writes it"):
        parse(document)


@pytest.mark.parametrize(("unit", "algorithm"), UNITS)
@pytest.mark.parametrize("part", ["normalizer", "post_processor", "added_tokens", "version"])
def test_no_part_may_be_missing(unit, algorithm, part):
    document = trained(unit, algorithm)
    del document[part]
    with pytest.raises(TokenizerError, match=f"its {part} is not as Gatewise writes it"):
        parse(document)


def test_an_entry_that_each_text_would_be_searched_for_is_refused():
    document = trained("ngram")
    document["model"]["vocab"].append(["a" * (MAX_ENTRY_CHARACTERS + 1), -1.0])
    with pytest.raises(TokenizerError, match=r"its model\.vocab is not as Gatewise"):
        parse(document)


@pytest.mark.parametrize(("unit", "algorithm"), [("ngram", "bpe"), ("subword", "unigram")])
def test_no_such_entry_is_made_of_a_corpus(unit, algorithm):
    """A word without end, as encoded files in a text are."""
    texts = [*TEXTS, *["ab" * 2000] * 5]
    tokenizer = train_tokenizer(texts, unit=unit, algorithm=algorithm)
    assert max(map(len, tokenizer.get_vocab())) <= MAX_ENTRY_CHARACTERS
    assert parse_tokenizer(serialize_tokenizer(tokenizer)).encode("hello").ids
