import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.data.encoded_corpus import encode_corpus
from gatewise.vocab.corpus.bad_row_policy import RejectBadRows
from gatewise.vocab.tokenizer.coverage import measure_coverage
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

MAX_LENGTH = 6
TRAIN = [(f"word{number % 5} and more", "ab"[number % 2]) for number in range(20)]
VALIDATION = [
    ("word1 unknown", "a"),
    ("\x01", "b"),
    ("word2 and more and more and more unheard", "oos"),
    ("word3", "b"),
    ("and nothing else", "oos"),
]


@pytest.fixture
def encoded(tmp_path, write_csv):
    corpora = Corpora(
        write_csv(tmp_path / "train.csv", TRAIN),
        write_csv(tmp_path / "validation.csv", VALIDATION),
    )
    settings = config.load(
        assignments=["reject.out_of_scope=oos", f"tokens.max_length={MAX_LENGTH}"]
    )
    with RejectBadRows(tmp_path / "rejects.jsonl") as bad_rows:
        rows = read(corpora, settings, bad_rows, tmp_path)
        tokenizer = train_tokenizer(text for text, _ in TRAIN)
        return encode_corpus(rows, tokenizer, settings, bad_rows, tmp_path), tokenizer


def test_a_split_has_the_ids_of_its_rows_in_their_order(encoded):
    corpus, tokenizer = encoded
    texts = [text for text, _ in VALIDATION if text != "\x01"]
    rows = list(corpus.validation)
    assert [row.row.text for row in rows] == texts
    for row, expected in zip(rows, Encoder(tokenizer, MAX_LENGTH).encode(texts), strict=True):
        assert row.encoded.ids.tolist() == expected.ids.tolist()
        assert row.encoded.truncated == expected.truncated
    assert [row.encoded.truncated for row in rows] == [False, True, False, False]
    some = corpus.validation.only(np.array([False, True, True, False]))
    assert [row.row.text for row in some] == texts[1:3]
    assert [row.encoded.ids.tolist() for row in some] == [
        row.encoded.ids.tolist() for row in rows[1:3]
    ]


def test_the_examples_of_a_split_are_its_rows_in_scope(encoded):
    corpus, _ = encoded
    examples = corpus.validation.examples
    numbers = np.arange(len(examples))
    assert examples.targets(numbers).tolist() == [0, 1]
    in_scope = [row for row in corpus.validation if row.row.labels]
    assert [ids.tolist() for ids in examples.ids(numbers)] == [
        row.encoded.ids.tolist() for row in in_scope
    ]
    lengths = [len(row.encoded.ids) for row in in_scope]
    assert examples.lengths(numbers).tolist() == lengths
    assert (examples.tokens, examples.longest) == (sum(lengths), max(lengths))


def test_coverage_counts_the_tokens_of_truncated_texts_too(encoded):
    corpus, tokenizer = encoded
    texts = [row.row.text for row in corpus.validation]
    expected = measure_coverage(tokenizer, texts)
    assert expected.known < expected.tokens
    assert corpus.validation.coverage(tokenizer) == expected
