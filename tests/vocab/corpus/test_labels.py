import numpy as np
import pytest

from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.errors import CorpusError


def test_names_are_sorted_and_encoded_by_place():
    labels = Labels.of(["b", "a", "c", "a"])
    assert labels.names == ("a", "b", "c")
    assert len(labels) == 3


@pytest.mark.parametrize(("labels", "received"), [([], "none"), (["x", "x"], "only 'x'")])
def test_fewer_than_two_labels_are_refused(labels, received):
    with pytest.raises(CorpusError, match=f"at least two different labels.*{received}"):
        Labels.of(labels)


def test_several_labels_become_a_row_of_yes_and_no():
    labels = Labels(("a", "b", "c"))
    matrix = labels.matrix([("c", "a"), (), ("b",)])
    assert matrix.dtype == np.bool_
    assert matrix.tolist() == [[True, False, True], [False] * 3, [False, True, False]]
    assert labels.matrix([]).shape == (0, 3)
    assert labels.matrix([()]).tolist() == [[False] * 3]
    assert labels.matrix([("z", "a")]).tolist() == [[True, False, False]]
