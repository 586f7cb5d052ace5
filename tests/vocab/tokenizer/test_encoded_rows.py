from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import BadRow, Location
from gatewise.vocab.tokenizer.encoded_rows import EMPTY_TEXT_REASON, EncodedRow, encode_rows
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer


def test_a_row_without_a_token_becomes_a_bad_row_and_the_order_stays():
    encoder = Encoder(train_tokenizer(["a b"]), max_length=8)
    rows = [
        Row(text, ("x",), Location("f.csv", line)) for line, text in enumerate(["a", "\x01", "b"])
    ]
    first, bad, last = encode_rows(encoder.encode, rows)
    assert isinstance(first, EncodedRow)
    assert isinstance(last, EncodedRow)
    assert (first.row, last.row) == (rows[0], rows[2])
    content = '{"text": "\\u0001", "label": "x"}'
    assert bad == BadRow(Location("f.csv", 1), EMPTY_TEXT_REASON, content)
    rows = [Row("\x01", labels, Location("f.csv", 2)) for labels in ((), ("x", "y"))]
    assert [bad.content for bad in encode_rows(encoder.encode, rows)] == [
        '{"text": "\\u0001", "labels": []}',
        '{"text": "\\u0001", "labels": ["x", "y"]}',
    ]
