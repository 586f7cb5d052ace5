import pytest

from vocab.errors import CorpusError
from vocab.labels import Labels


def test_names_are_sorted_and_encoded_by_place():
    labels = Labels.of(["b", "a", "c", "a"])
    assert labels.names == ("a", "b", "c")
    assert len(labels) == 3
    assert labels.encode(["c", "a"]) == [2, 0]


@pytest.mark.parametrize(("labels", "received"), [([], "none"), (["x", "x"], "only 'x'")])
def test_fewer_than_two_labels_are_refused(labels, received):
    with pytest.raises(CorpusError, match=f"at least two different labels.*{received}"):
        Labels.of(labels)
