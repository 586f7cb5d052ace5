"""The section `tokens`: settings train a dictionary, or are refused in one line."""

import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID, train_tokenizer


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["unit=subword", "algorithm=unigram"], r"unknown setting 'tokens\.algorithm'"),
        (["ngram=3"], "tokens.ngram=3 requires tokens.unit=ngram"),
        (["unit=subword", "ngram=5"], "received tokens.unit=subword"),
        (["unit=ngram", "ngram=6"], "tokens.ngram.*less than or equal to 5; received 6"),
        (["unit=ngram", "ngram=1"], "tokens.ngram.*greater than or equal to 2; received 1"),
        (["windows=0"], "tokens.windows.*greater than or equal to 1; received 0"),
        (["windows=101"], "tokens.windows.*less than or equal to 100; received 101"),
        (["keep=middle"], "tokens.keep.*'head', 'tail' or 'both'; received 'middle'"),
        (["normalization=nfx"], "tokens.normalization.*received 'nfx'"),
        (["pieces=-1"], "tokens.pieces.*received -1"),
        (["pieces=20", "unit=character"], "tokens.pieces=20 requires tokens.unit=word"),
        (["pieces=60", "vocab_size=100"], "at most half of tokens.vocab_size=100"),
        (["accents=drop"], "tokens.accents.*'keep' or 'strip'; received 'drop'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(settings, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        config.load(assignments=[f"tokens.{setting}" for setting in settings])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("unit", "accents", "normalization"),
    [
        (["unit=word"], "keep", "none"),
        (["unit=word", "pieces=40"], "keep", "none"),
        (["unit=subword"], "strip", "nfc"),
        (["unit=character"], "keep", "nfkd"),
        (["unit=ngram"], "strip", "nfkc"),
        (["unit=ngram", "ngram=4"], "keep", "nfd"),
    ],
)
def test_the_settings_are_those_of_a_dictionary(unit, accents, normalization):
    settings = [*unit, f"accents={accents}", f"normalization={normalization}", "keep=tail"]
    tokens = config.load(assignments=[f"tokens.{setting}" for setting in settings]).tokens
    texts = ["Ein süßer Café, ein süßer Tee", "ein ﬁnes Café"]
    tokenizer = train_tokenizer(texts, **tokens.dictionary_options())
    (encoded,) = Encoder(tokenizer, 5, tokens.keep).encode([texts[0] + " " + texts[0]])
    assert len(encoded.ids) == 5
    assert UNKNOWN_ID not in encoded.ids


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
def test_as_much_of_a_text_is_kept_as_all_windows_read(keep):
    text = " ".join(map(str, range(20_000)))
    tokenizer = train_tokenizer([text])
    assignments = ["tokens.windows=8", "tokens.max_length=500", f"tokens.keep={keep}"]
    tokens = config.load(assignments=[*assignments, "tokens.unit=word"]).tokens
    cut = tokens.text_limit().cut(text)
    assert len(cut) < len(text) / 2
    whole = tokenizer.encode(text).ids[1:]
    read = {"head": whole[:3992], "tail": whole[-3992:], "both": whole[:1996] + whole[-1996:]}
    (encoded,) = tokens.encoder(tokenizer).encode([cut])
    assert encoded.ids[1:].tolist() == read[keep]
    assert encoded.truncated
