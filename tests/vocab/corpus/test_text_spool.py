import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.corpus.text_spool import open_spool
from gatewise.vocab.errors import OutputError


@given(st.lists(st.text()))
def test_texts_are_read_again_as_they_passed(tmp_path_factory, texts):
    with open_spool(tmp_path_factory.getbasetemp()) as kept:
        assert list(kept.spooled(texts)) == texts
        assert list(kept) == texts
        assert list(kept) == texts


def test_texts_pass_one_by_one(tmp_path):
    taken = []

    def texts():
        for number in range(3):
            taken.append(number)
            yield str(number)

    with open_spool(tmp_path) as kept:
        passing = kept.spooled(texts())
        assert next(passing) == "0"
        assert taken == [0]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), open_spool(tmp_path / "none"):
        pass
