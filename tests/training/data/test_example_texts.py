from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.data.example_texts import example_texts
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows


def rows_of(path, folder):
    settings = config.load(assignments=["corpus.duplicates=ignore"])
    return read(Corpora(path), settings, StopAtBadRows(), folder)


def test_the_first_short_text_of_each_label(tmp_path, write_csv):
    texts = [(f"text {number} of {label}", label) for number in range(8) for label in "ab"]
    path = write_csv(tmp_path / "train.csv", [("a long text " * 20, "a"), *texts])
    rows = rows_of(path, tmp_path)
    first = {}
    for row in rows.train:
        if len(row.text) <= 200:
            first.setdefault(row.label, row.text)
    assert example_texts(rows) == {"a": first["a"], "b": first["b"]}


def test_of_several_labels_a_text_with_one_of_them_is_preferred(tmp_path):
    path = tmp_path / "train.jsonl"
    lines = [f'{{"text": "both {n}", "labels": ["a", "b"]}}' for n in range(30)]
    lines += [f'{{"text": "alone {n}", "labels": ["b"]}}' for n in range(30)]
    path.write_text("\n".join(lines))
    found = example_texts(rows_of(path, tmp_path))
    assert list(found) == ["a", "b"]
    assert found["a"].startswith("both ")
    assert found["b"].startswith("alone ")


def test_numbers_have_none(tmp_path, numbers_corpus):
    assert example_texts(rows_of(numbers_corpus / "train.csv", tmp_path)) is None
