from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.tokenizer.vocabulary import BoundedCounter


@given(st.lists(st.lists(st.sampled_from("abcdef"))))
def test_below_the_limit_every_count_is_exact(batches):
    counts = BoundedCounter()
    for batch in batches:
        counts.add(batch)
    exact = Counter(item for batch in batches for item in batch)
    assert dict(counts.ranked()) == exact


def test_items_are_ranked_by_count_then_code_point():
    counts = BoundedCounter()
    counts.add("abracadabra")
    assert list(counts.ranked()) == [("a", 5), ("b", 2), ("r", 2), ("c", 1), ("d", 1)]
    assert list(counts.ranked(min_frequency=2)) == [("a", 5), ("b", 2), ("r", 2)]


def test_above_the_limit_the_rarest_are_dropped():
    counts = BoundedCounter(limit=100)
    for number in range(1000):
        counts.add(["often", "often", f"once {number}"])
        assert len(list(counts.ranked())) <= 100
    assert next(counts.ranked()) == ("often", 2000)
