import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.dataset import Examples, batches, dataset


def examples(lengths):
    return Examples(
        ids=[np.full(length, 3) for length in lengths],
        labels=np.arange(len(lengths), dtype=np.int32),
    )


@given(st.lists(st.integers(1, 40), min_size=1, max_size=300), st.integers(1, 32))
def test_batches_hold_every_text_once(lengths, batch_size):
    cut = list(batches(examples(lengths), batch_size, np.random.default_rng(0)))
    assert sorted(row for batch in cut for row in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in cut)


def test_little_is_spent_on_padding():
    lengths = np.random.default_rng(0).geometric(0.05, 10_000)
    padded = sum(
        len(batch) * max(lengths[row] for row in batch)
        for batch in batches(examples(lengths), 64, np.random.default_rng(0))
    )
    assert padded < 1.2 * lengths.sum()


def order_of(pipeline):
    return [labels.numpy().tolist() for _, labels in pipeline]


def test_epochs_differ_but_runs_do_not():
    data = examples([1, 2, 3, 4] * 20)
    first, again = dataset(data, 8, seed=1), dataset(data, 8, seed=1)
    epochs = [order_of(first), order_of(first)]
    assert epochs[0] != epochs[1]
    assert [order_of(again), order_of(again)] == epochs
    assert order_of(dataset(data, 8, seed=2)) != epochs[0]


def test_validation_keeps_one_order():
    fixed = dataset(examples([1, 2, 3, 4] * 20), 8, seed=None)
    assert order_of(fixed) == order_of(fixed)


def test_elements_are_padded_inputs_and_label_ids():
    ((inputs, labels),) = dataset(examples([1, 3]), 2, seed=None)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, 3)
    by_label = dict(zip(labels.numpy().tolist(), inputs["attention_mask"].numpy(), strict=True))
    assert by_label[0].tolist() == [1, 0, 0]
    assert by_label[1].tolist() == [1, 1, 1]
