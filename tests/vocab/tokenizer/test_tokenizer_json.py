"""Every tokenizer that can be trained is read back, and no other is."""

import itertools
import json

import pytest
from tokenizers import Tokenizer, models

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from gatewise.vocab.tokenizer.tokenizer_json import parse_tokenizer, serialize_tokenizer
from gatewise.vocab.tokenizer.word_ngrams import MAX_ENTRY_CHARACTERS

TEXTS = ["The Café is nice, it's ΣΑΣ at 10:30! 你好 "] * 3 + ["a b a b c hello hello world"]


def trained(unit="word", **options):
    tokenizer = train_tokenizer(TEXTS, unit=unit, **options)
    return json.loads(serialize_tokenizer(tokenizer))


def parse(document):
    return parse_tokenizer(json.dumps(document).encode())


@pytest.mark.parametrize("unit", ["word", "character", "ngram", "subword"])
def test_every_tokenizer_is_read_as_it_was_written(unit):
    forms = ["none", "nfc", "nfkc", "nfd", "nfkd"]
    for lowercase, accents, form in itertools.product([True, False], ["keep", "strip"], forms):
        tokenizer = train_tokenizer(
            TEXTS, unit=unit, lowercase=lowercase, accents=accents, normalization=form
        )
        contents = serialize_tokenizer(tokenizer)
        again = parse_tokenizer(contents)
        assert serialize_tokenizer(again) == contents
        assert again.encode(TEXTS[0]).ids == tokenizer.encode(TEXTS[0]).ids


@pytest.mark.parametrize("contents", [b"{}", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"[]"])
def test_other_contents_are_refused(contents):
    with pytest.raises(TokenizerError, match="not a tokenizer"):
        parse_tokenizer(contents)
    foreign = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(TokenizerError, match="not trained by Gatewise"):
        parse_tokenizer(foreign.to_str().encode())


def test_character_classes_of_other_unicode_versions_are_accepted():
    document = trained()
    (step, *_) = document["normalizer"]["normalizers"]
    step["pattern"]["Regex"] = step["pattern"]["Regex"][:-1] + "\\x{1e4d0}-\\x{1e4f9}]"
    assert parse(document).encode("a\U0001e4d0b").tokens == parse(document).encode("ab").tokens


@pytest.mark.parametrize(
    "pattern", ["[a]", "[\\x{61}]*", "[\\x{61}]]", "([\\x{61}])", "[\\x{1234567}]", "[]"]
)
def test_other_patterns_are_refused(pattern):
    document = trained()
    document["normalizer"]["normalizers"][0]["pattern"]["Regex"] = pattern
    with pytest.raises(TokenizerError, match="its normalizer is not as Gatewise writes it"):
        parse(document)


@pytest.mark.parametrize("part", ["normalizer", "post_processor", "added_tokens", "version"])
def test_no_part_may_be_missing(part):
    document = trained()
    del document[part]
    with pytest.raises(TokenizerError, match=f"its {part} is not as Gatewise writes it"):
        parse(document)


def test_an_entry_that_is_too_long_is_neither_made_nor_read():
    tokenizer = train_tokenizer([*TEXTS, *["ab" * 2000] * 5], unit="ngram")
    assert max(map(len, tokenizer.get_vocab())) <= MAX_ENTRY_CHARACTERS
    assert parse_tokenizer(serialize_tokenizer(tokenizer)).encode("hello").ids
    document = trained("ngram")
    document["model"]["vocab"].append(["a" * (MAX_ENTRY_CHARACTERS + 1), -1.0])
    with pytest.raises(TokenizerError, match=r"its model\.vocab is not as Gatewise"):
        parse(document)


def test_pieces_of_words_are_read_as_they_were_written():
    tokenizer = train_tokenizer(TEXTS, pieces=30)
    contents = serialize_tokenizer(tokenizer)
    again = parse_tokenizer(contents)
    assert serialize_tokenizer(again) == contents
    tokens = again.encode("hellothere").tokens[1:]
    assert tokens == tokenizer.encode("hellothere").tokens[1:]
    assert len(tokens) > 1
    for change in ({"continuing_subword_prefix": "@@"}, {"max_input_chars_per_word": 10**6}):
        document = json.loads(contents)
        document["model"].update(change)
        with pytest.raises(TokenizerError, match="its model is not as Gatewise writes it"):
            parse(document)


def test_word_ngrams_of_an_earlier_release_are_refused_with_what_to_do():
    """With marks at the begin of words alone."""
    document = trained("ngram")
    (marks,) = [
        step["pattern"]
        for step in document["normalizer"]["normalizers"]
        if "(?<!" in step.get("pattern", {}).get("Regex", "")
    ]
    marks["Regex"] = marks["Regex"].split("|")[0]
    with pytest.raises(TokenizerError, match=r"Unigram subwords .*: train the model again$"):
        parse(document)
