from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from gatewise.service.model.linear_path import MULTIPLIERS
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data import examples
from gatewise.training.fit.dataset import sequential_batches, tensors
from gatewise.training.fit.document_frequencies import count_ngrams
from gatewise.training.fit.loss import make_loss
from gatewise.training.fit.path_solver import Solution, solve_linear_path
from gatewise.training.fit.train_step import Trainer
from gatewise.training.network.build import build
from gatewise.training.network.char_ngrams import char_ngrams
from gatewise.training.network.ngrams import inverse_frequencies
from gatewise.training.network.shape import Shape
from gatewise.training.network.word_splits import word_splits
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, train_tokenizer

DEFAULT = TrainingConfig()
STEMS = ("walk", "sing", "paint")
ENDINGS = ("ed", "ing", "er", "s")


def words() -> list[tuple[str, int]]:
    """A text for each form of a word; the ending is the label."""
    return [(stem + ending, label) for stem in STEMS for label, ending in enumerate(ENDINGS)]


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    return [np.array(encoding.ids) for encoding in tokenizer.encode_batch(texts)]


def solved(
    tmp_path,
    tokenizer,
    texts,
    targets,
    *,
    width=None,
    multi_label=False,
    spelled=True,
    config=DEFAULT,
    max_length=100,
):
    """A network whose linear path is solved for some texts."""
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path / "rows")
    rows = rows.windows(max_length)
    classes = targets.shape[1] if multi_label else int(targets.max()) + 1
    shape = Shape(tokenizer.get_vocab_size(), classes, (1, 2), buckets=1000, ngram_width=width)
    spelling = char_ngrams(tokenizer, (2, 3, 4)) if spelled else None
    model = build(NetworkConfig(units=4), shape, seed=1, char_ngrams=spelling)
    count_ngrams(model, rows)
    solve_linear_path(model, rows, spelling, config, multi_label=multi_label)
    loss = make_loss(TrainingConfig(), rows, classes, multi_label=multi_label)
    return Trainer(model, loss, TrainingConfig(averaging=0.5)), rows


def linear_logits(trainer, rows):
    """The logits of the linear path as the network computes them, with the targets."""
    batches = list(tensors(rows, sequential_batches(rows, 64), None))
    logits = np.concatenate([trainer.path_logits(batch)[1] for batch in batches])
    return logits, np.concatenate([batch[2].numpy() for batch in batches])


def test_the_network_gives_the_rows_their_labels(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    trainer, rows = solved(tmp_path, tokenizer, list(texts), np.array(labels, np.int32))
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()


def test_words_of_a_like_spelling_share_what_is_learnt(tmp_path):
    texts, labels = zip(*words(), strict=True)
    unseen = ["jumped", "jumping", "jumper", "jumps"]
    tokenizer = train_tokenizer([*texts, *unseen])
    trainer, _ = solved(tmp_path, tokenizer, list(texts), np.array(labels, np.int32))
    table = trainer.model.get_layer("ngrams").weights_table.numpy()
    seen = [tokenizer.token_to_id(stem + "ing") for stem in STEMS]
    assert (table[seen].argmax(axis=1) == ENDINGS.index("ing")).all()
    # A word without a training text has no document frequency, so it has no weight either.
    assert not table[[tokenizer.token_to_id(word) for word in unseen]].any()


def test_without_spelling_each_word_is_learnt_alone(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    targets = np.array(labels, np.int32)
    trainer, rows = solved(tmp_path, tokenizer, list(texts), targets, spelled=False)
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()


def test_two_labels_have_opposite_logits(tmp_path):
    texts = ["good film", "bad film", "good plot", "bad plot", "so good", "so bad"]
    tokenizer = train_tokenizer(texts)
    trainer, rows = solved(tmp_path, tokenizer, texts, np.array([1, 0] * 3, np.int32))
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=1e-5)


def test_fewer_weights_than_labels_keep_the_largest_differences(tmp_path):
    texts = [f"w{number} x{number}" for number in range(12) for _ in range(4)]
    labels = np.repeat(np.arange(12, dtype=np.int32), 4)
    tokenizer = train_tokenizer(texts)
    full, rows = solved(tmp_path / "full", tokenizer, texts, labels)
    reduced, _ = solved(tmp_path / "reduced", tokenizer, texts, labels, width=11)
    assert reduced.model.get_layer("ngrams").weights_table.shape[1] == 11
    expected, targets = linear_logits(full, rows)
    logits, _ = linear_logits(reduced, rows)
    assert (logits.argmax(axis=1) == targets).mean() >= 0.9
    assert np.abs(logits - expected).mean() < np.abs(expected).mean()


def test_several_labels_have_a_logistic_regression_each(tmp_path):
    texts = ["sun", "rain", "sun rain", "fog", "sun fog", "rain fog"] * 8
    truth = np.array([[word in text for word in ("sun", "rain")] for text in texts], np.float32)
    tokenizer = train_tokenizer(texts)
    trainer, rows = solved(tmp_path, tokenizer, texts, truth, multi_label=True)
    logits, targets = linear_logits(trainer, rows)
    assert ((logits > 0) == (targets > 0.5)).all()


def test_the_features_of_several_labels_are_sorted_once_for_all_fits(tmp_path, monkeypatch):
    given, fit = [], LogisticRegression.fit

    def recorded(regression, features, *arguments):
        # Its own sorting is in place.
        given.append((features.has_sorted_indices, features.copy()))
        return fit(regression, features, *arguments)

    monkeypatch.setattr(LogisticRegression, "fit", recorded)
    texts = ["sun", "rain", "sun rain", "fog", "sun fog", "rain fog"] * 8
    truth = np.array([[word in text for word in ("sun", "rain")] for text in texts], np.float32)
    solved(tmp_path, train_tokenizer(texts), texts, truth, multi_label=True)
    assert all(is_sorted for is_sorted, _ in given)
    # The last fit for each label, to the features as they are and to their contrasts.
    *_, (_, plain), (_, contrasts) = given
    assert (plain.indices == contrasts.indices).all()
    assert len(np.unique((contrasts.data / plain.data).round(6))) > 2


def test_several_labels_have_a_bias_that_does_not_depend_on_the_length_of_a_text(tmp_path):
    texts = [f"plain n{number}" for number in range(20)] + ["red", "red hat"]
    truth = np.array([["red" in text, "n7" in text] for text in texts], np.float32)
    tokenizer = train_tokenizer(texts)
    trainer, _ = solved(tmp_path, tokenizer, texts, truth, multi_label=True, spelled=False)
    layer = trainer.model.get_layer("ngrams")
    # The begin mark alone, and beside an n-gram without a weight, which makes the norm larger.
    layer.idf.assign(np.maximum(layer.idf.numpy(), 1))
    without = int(np.flatnonzero(~layer.weights_table.numpy().any(axis=1))[-1])
    logits = layer(np.array([[CLS_ID, 0], [without, CLS_ID]])).numpy()
    np.testing.assert_array_equal(logits, np.tile(layer.bias.numpy(), (2, 1)))
    assert (logits < -1).all()  # labels of one and two texts in 22


def test_labels_with_fewer_rows_than_folds_are_solved(tmp_path):
    texts = ["red", "green", "blue", "black"]
    trainer, rows = solved(tmp_path, train_tokenizer(texts), texts, np.arange(4, dtype=np.int32))
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()


def test_training_does_not_change_what_is_solved(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    trainer, rows = solved(tmp_path, tokenizer, list(texts), np.array(labels, np.int32))
    layer = trainer.model.get_layer("ngrams")
    before = layer.weights_table.numpy().copy()
    others = trainer.model.get_layer("classifier").get_weights()
    (batch,) = tensors(rows, sequential_batches(rows, 64), None)
    trainer.update(batch, 0.1)
    np.testing.assert_array_equal(layer.weights_table.numpy(), before)
    assert any(
        (old != new).any()
        for old, new in zip(
            others, trainer.model.get_layer("classifier").get_weights(), strict=True
        )
    )


def test_a_network_without_the_linear_path_is_unchanged(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    targets = np.array(labels, np.int32)
    rows = examples.store([(encode(tokenizer, list(texts)), targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 4, ()), seed=1)
    before = model.get_weights()
    solve_linear_path(model, rows, None, TrainingConfig(), multi_label=False)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    targets = np.array(labels, np.int32)
    tables = [
        solved(tmp_path / str(number), tokenizer, list(texts), targets)[0]
        .model.get_layer("ngrams")
        .weights_table.numpy()
        for number in range(2)
    ]
    np.testing.assert_array_equal(*tables)


@pytest.mark.filterwarnings("error")
def test_a_label_with_a_single_row_leaves_no_fold_without_another(tmp_path):
    texts = ["red wine", "red dress", "red car", "red light", "red apple", "blue sky"]
    targets = np.array([0, 0, 0, 0, 0, 1], np.int32)
    trainer, rows = solved(tmp_path, train_tokenizer(texts), texts, targets)
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1)[targets == 0] == 0).all()


@pytest.mark.filterwarnings("error")
def test_many_labels_with_two_rows_each_are_solved(tmp_path):
    targets = np.array([0, *range(20), *range(20)], np.int32)
    texts = [f"name{label} {row}" for row, label in enumerate(targets)]
    trainer, rows = solved(tmp_path, train_tokenizer(texts), texts, targets)
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()


def test_the_regularization_is_chosen_or_given(tmp_path):
    texts, labels = zip(*words(), strict=True)
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, list(texts)), np.array(labels, np.int32))], tmp_path)
    spelling = char_ngrams(tokenizer, (2, 3, 4))
    shape = Shape(tokenizer.get_vocab_size(), 4, (1, 2), buckets=1000)
    tables = {}
    for given in (None, 0.001):
        model = build(NetworkConfig(units=4), shape, seed=1, char_ngrams=spelling)
        count_ngrams(model, rows)
        used = solve_linear_path(model, rows, spelling, DEFAULT, multi_label=False, strength=given)
        assert (used.scale is None) == (given is not None)
        tables[used.strength] = model.get_layer("ngrams").weights_table.numpy()
    chosen, given = tables
    assert chosen > given == 0.001
    assert np.abs(tables[given]).max() < np.abs(tables[chosen]).max()


def test_the_scale_makes_logits_of_other_rows_probabilities(tmp_path):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 1200).astype(np.int32)
    # The word follows from the label for three rows of four.
    words = labels ^ (generator.random(1200) < 0.25)
    texts = [("yes", "no")[word] for word in words]
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), labels)], tmp_path)
    shape = Shape(tokenizer.get_vocab_size(), 2, (1,), buckets=100)
    model = build(NetworkConfig(units=4), shape, seed=1)
    count_ngrams(model, rows)
    used = solve_linear_path(model, rows, None, DEFAULT, multi_label=False)
    trainer = Trainer(model, make_loss(DEFAULT, rows, 2, multi_label=False), DEFAULT)
    logits, _ = linear_logits(trainer, rows)
    margins = used.scale * np.abs(logits[:, 1] - logits[:, 0])
    np.testing.assert_allclose(1 / (1 + np.exp(-margins)), 0.75, atol=0.03)


def test_too_few_rows_for_folds_have_the_usual_scale(tmp_path):
    texts = ["red", "green", "blue"]
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), np.arange(3, dtype=np.int32))], tmp_path)
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 3, (1,)), seed=1)
    count_ngrams(model, rows)
    used = solve_linear_path(model, rows, None, DEFAULT, multi_label=False)
    assert used == Solution(strength=1.0, scale=8.0)


def test_rows_that_are_all_right_when_held_out_do_not_drive_the_scale_up(tmp_path):
    texts = ["red wine", "blue sky"] * 6
    tokenizer = train_tokenizer(texts)
    targets = np.array([0, 1] * 6, np.int32)
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 2, (1,)), seed=1)
    count_ngrams(model, rows)
    used = solve_linear_path(model, rows, None, DEFAULT, multi_label=False)
    assert 8 / 2 < used.scale < 8 * 2


def test_balanced_labels_weigh_the_same(tmp_path):
    texts = ["good"] * 20 + ["good so so"] * 20 + ["bad so so"]
    targets = np.array([0] * 40 + [1], np.int32)
    tokenizer = train_tokenizer(texts)
    rare = []
    for weights in ("none", "balanced"):
        config = TrainingConfig(class_weights=weights)
        trainer, rows = solved(tmp_path / weights, tokenizer, texts, targets, config=config)
        logits, labels = linear_logits(trainer, rows)
        rare.append(float((logits[labels == 1, 1] - logits[labels == 1, 0]).mean()))
    assert rare[1] > rare[0]


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_word_counts_by_how_differently_often_the_labels_have_it(tmp_path, multi_label):
    texts = ["good"] * 3 + ["film"] * 3 + ["so"] * 3
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0], np.int32)
    targets = np.eye(2, dtype=np.float32)[labels] if multi_label else labels
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path)
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 2, (1,)), seed=1)
    count_ngrams(model, rows)
    solve_linear_path(model, rows, None, DEFAULT, multi_label=multi_label, strength=1e-5)
    table = model.get_layer("ngrams").weights_table.numpy()[:, 1]
    good, film = (table[tokenizer.token_to_id(word)] for word in ("good", "film"))
    # Among four texts of either label 2.4 and 0 have "good", 1.6 and 1 "film", 0 and 3 "so".
    # With so small a C, weights are as the difference of the texts (3, and 2 less 1), times the
    # mean of one and the square of the contrast, whose mean over the words is one.
    squares = np.abs(np.log([3.4 / 1, 2.6 / 2, 1 / 4])) ** (2 * 0.7)
    of_good, of_film, _ = squares / squares.mean()
    assert good / film == pytest.approx(3 * (1 + of_good) / (1 + of_film), rel=0.01)


def test_without_single_tokens_no_pair_is_taken_for_the_begin_mark(tmp_path):
    texts = ["good"] * 3 + ["film"] * 3 + ["so"] * 3
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0], np.int32)
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), labels)], tmp_path)
    shape = Shape(tokenizer.get_vocab_size(), 2, (2,), buckets=1000)
    model = build(NetworkConfig(units=4), shape, seed=1)
    count_ngrams(model, rows)
    solve_linear_path(model, rows, None, DEFAULT, multi_label=False, strength=1e-5)
    table = model.get_layer("ngrams").weights_table.numpy()[:, 1]
    # A word has two pairs, with what is before and what is after it, which are in the same texts.
    lower, upper = np.sort(table[table != 0]).reshape(3, 2).T
    np.testing.assert_allclose(lower, upper, rtol=1e-4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_label_whose_rows_weigh_next_to_nothing_is_solved(tmp_path, multi_label):
    texts, labels = ["good", "bad", "so"] * 4, np.arange(12, dtype=np.int32) % 3
    targets = np.eye(3, dtype=np.float32)[labels] if multi_label else labels
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path)
    rows = replace(rows, given_weights=np.where(labels == 2, 1e-30, 1e30))
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 3, (1,)), seed=1)
    count_ngrams(model, rows)
    solve_linear_path(model, rows, None, DEFAULT, multi_label=multi_label)
    table = model.get_layer("ngrams").weights_table.numpy()
    for word, label in (("good", 0), ("bad", 1)):
        assert table[tokenizer.token_to_id(word)].argmax() == label


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_weight_does_what_repeating_the_row_does(tmp_path, multi_label):
    texts, counts = ["good film", "bad film", "good plot", "bad plot so"], np.array([3, 1, 1, 2])
    labels = np.array([1, 0, 0, 1])
    targets = np.eye(2, dtype=np.float32)[labels] if multi_label else labels.astype(np.int32)
    tokenizer = train_tokenizer(texts)
    model = build(NetworkConfig(units=4), Shape(tokenizer.get_vocab_size(), 2, (1,)), seed=1)
    weights = []
    for name, repeats in (("weighted", np.ones(4, np.int64)), ("repeated", counts)):
        rows = np.repeat(np.arange(4), repeats)
        ids = encode(tokenizer, [texts[row] for row in rows])
        stored = examples.store([(ids, targets[rows])], tmp_path / name)
        if name == "weighted":
            # Documents are counted once: the features are the same.
            count_ngrams(model, stored)
            stored = replace(stored, given_weights=counts.astype(np.float32))
        solved = solve_linear_path(
            model, stored, None, DEFAULT, multi_label=multi_label, strength=7 / len(rows)
        )
        assert solved.strength == 7 / len(rows)
        weights.append(model.get_layer("ngrams").weights_table.numpy())
    np.testing.assert_allclose(*weights, atol=0.05 * np.abs(weights[0]).max())


def test_windows_are_solved_for_the_mean_of_their_logits(tmp_path):
    """Each text has a window that its label follows from and one that says the opposite."""
    texts = ["very good good odd", "odd very good good", "poor poor very odd", "odd odd poor very"]
    tokenizer = train_tokenizer(texts)
    labels = np.array([1, 1, 0, 0] * 3, np.int32)
    trainer, windows = solved(tmp_path, tokenizer, texts * 3, labels, max_length=3)
    assert len(windows) == 24
    batches = [windows.windows_of(np.arange(12))]
    (logits,) = [trainer.path_logits(batch)[1] for batch in tensors(windows, batches, None)]
    pooled = logits.reshape(12, 2, 2).mean(axis=1)
    assert (pooled.argmax(axis=1) == labels).all()


def with_pieces(tmp_path, texts, targets):
    """A network of words with pieces, solved for some texts, its tokenizer and those texts."""
    tokenizer = train_tokenizer(texts, pieces=200)
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path / "rows")
    words = word_splits(tokenizer)
    classes = int(targets.max()) + 1
    shape = Shape(tokenizer.get_vocab_size(), classes, (1, 2), buckets=1000)
    spelling = char_ngrams(tokenizer, (2, 3, 4))
    model = build(NetworkConfig(units=4), shape, seed=1, char_ngrams=spelling)
    count_ngrams(model, rows, words)
    solve_linear_path(model, rows, spelling, DEFAULT, multi_label=False)
    loss = make_loss(TrainingConfig(), rows, classes, multi_label=False)
    return Trainer(model, loss, TrainingConfig(averaging=0.5)), tokenizer, rows


def test_an_unknown_word_is_classified_by_its_pieces(tmp_path):
    texts, labels = zip(*words(), strict=True)
    trainer, tokenizer, rows = with_pieces(tmp_path, list(texts), np.array(labels, np.int32))
    logits, targets = linear_logits(trainer, rows)
    assert (logits.argmax(axis=1) == targets).all()
    # Of the letters of the training words; none of them is a token.
    unseen = ["stalked", "wanting", "sinker", "pills"]
    tokens = [tokenizer.encode(word).tokens[1:] for word in unseen]
    assert all(len(each) > 1 and "[UNK]" not in each for each in tokens)
    new = [(encode(tokenizer, unseen), np.arange(4, dtype=np.int32))]
    logits, targets = linear_logits(trainer, examples.store(new, tmp_path / "new"))
    assert logits.argmax(axis=1).tolist() == targets.tolist()
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() < 10 * np.abs(linear_logits(trainer, rows)[0]).max()


def test_solving_with_pieces_gives_the_same_weights_again(tmp_path):
    texts, labels = zip(*words(), strict=True)
    targets = np.array(labels, np.int32)
    first, second = (
        with_pieces(tmp_path / name, list(texts), targets)[0].model.get_layer("ngrams")
        for name in ("first", "second")
    )
    np.testing.assert_array_equal(first.weights_table.numpy(), second.weights_table.numpy())


def test_ngrams_count_by_the_share_that_are_no_collisions(tmp_path):
    """The share is estimated from the training texts, and compared with that in new texts."""
    generator = np.random.default_rng(1)
    shares = 1 / np.arange(1, 201)
    drawn = generator.choice(200, (400, 12), p=shares / shares.sum())
    texts = [" ".join(f"w{word}" for word in row) for row in drawn]
    tokenizer = train_tokenizer(texts)
    trainer, _ = solved(tmp_path, tokenizer, texts[:200], np.arange(200, dtype=np.int32) % 2)
    idf = trainer.model.get_layer("ngrams").idf.numpy()
    words = tokenizer.get_vocab_size()

    def pairs(ids):
        return set(zip(ids, [*ids[1:], 0], strict=True))

    def row(pair):
        return words + (pair[0] * MULTIPLIERS[0] + pair[1] * MULTIPLIERS[1]) % 1000

    seen, new = (
        [pairs(encoding.ids) for encoding in tokenizer.encode_batch(part)]
        for part in (texts[:200], texts[200:])
    )
    known = set().union(*seen)
    found = [pair for text in new for pair in text if idf[row(pair)] > 0]
    expected = sum(pair in known for pair in found) / len(found)
    # What a pair counts for, as a share of what its frequency says.
    rows_of_texts = [set(map(row, text)) for text in seen]
    common = row((tokenizer.token_to_id("w0"), tokenizer.token_to_id("w1")))
    frequency = sum(common in rows for rows in rows_of_texts)
    share = idf[common] / inverse_frequencies(np.array([frequency]), 200)[0]
    assert expected < 0.6
    # The hash spreads pairs less evenly than the estimate takes it to.
    assert share == pytest.approx(expected, abs=0.15)
    begin = tokenizer.token_to_id("[CLS]")
    assert idf[begin] == pytest.approx(inverse_frequencies(np.array([200]), 200)[0])


def test_the_length_of_a_text_is_no_bias_for_a_label(tmp_path):
    # No two texts share a word; those of one label are short, those of the other long.
    texts = [
        " ".join(f"w{number}x{word}" for word in range(1 if number % 2 else 12))
        for number in range(40)
    ]
    targets = np.arange(40, dtype=np.int32) % 2
    trainer, _ = solved(tmp_path, train_tokenizer(texts), texts, targets, spelled=False)
    table = trainer.model.get_layer("ngrams").weights_table.numpy()
    strongest_word = np.abs(table[CLS_ID + 1 :]).max()
    assert np.abs(table[CLS_ID]).max() < strongest_word / 2


def test_the_begin_mark_is_a_bias(tmp_path):
    # Words tell nothing, and one label has more rows.
    texts = [f"w{number} x{number}" for number in range(40)]
    targets = (np.arange(40, dtype=np.int32) % 4 == 0).astype(np.int32)
    tokenizer = train_tokenizer(texts)
    trainer, _ = solved(tmp_path, tokenizer, texts, targets, spelled=False)
    bias = trainer.model.get_layer("ngrams").weights_table.numpy()[CLS_ID]
    assert bias[0] > 0.01 > -0.01 > bias[1]


def test_probabilities_are_labels_with_weights(tmp_path):
    texts = ["sun", "sea", "snow", "ice"] * 6
    shares = {"sun": (1, 0), "sea": (0.7, 0.3), "snow": (0.04, 0.96), "ice": (0, 1)}
    tokenizer = train_tokenizer(texts)
    targets = np.array([shares[text] for text in texts], np.float32)
    rows = examples.store([(encode(tokenizer, texts), targets)], tmp_path).windows(100)
    shape = Shape(tokenizer.get_vocab_size(), 2, (1, 2), buckets=1000)
    model = build(NetworkConfig(units=4), shape, seed=1)
    count_ngrams(model, rows)
    found = solve_linear_path(model, rows, None, DEFAULT, multi_label=False)
    assert found == Solution(1.0, 8.0)
    loss = make_loss(TrainingConfig(), rows, 2, multi_label=False)
    logits, truth = linear_logits(Trainer(model, loss, TrainingConfig()), rows)
    percents = (100 * truth[:, 0]).round().astype(int).tolist()
    margins = dict(zip(percents, logits[:, 0] - logits[:, 1], strict=True))
    assert margins[100] > margins[70] > 0 > margins[4]
    # 4% is no likely label: the text is as sure as the one that has the other label alone.
    assert margins[4] == pytest.approx(margins[0], rel=0.1)


def solved_for_shares(tmp_path, texts, shares):
    """The logits of the linear path of texts that have probabilities, and of an unknown text."""
    tokenizer = train_tokenizer(texts)
    rows = examples.store([(encode(tokenizer, texts), np.array(shares, np.float32))], tmp_path)
    shape = Shape(tokenizer.get_vocab_size(), len(shares[0]), (1, 2), buckets=1000)
    model = build(NetworkConfig(units=4), shape, seed=1)
    count_ngrams(model, rows)
    solve_linear_path(model, rows, None, DEFAULT, multi_label=False)
    loss = make_loss(TrainingConfig(), rows, len(shares[0]), multi_label=False)
    encoded = encode(tokenizer, [*texts, "unknown"])
    zeros = np.zeros((len(encoded), len(shares[0])), np.float32)
    asked = examples.store([(encoded, zeros)], tmp_path / "asked")
    logits, _ = linear_logits(Trainer(model, loss, TrainingConfig()), asked)
    return logits


@pytest.mark.parametrize("labels", [1, 3])
def test_a_label_that_no_text_is_likely_to_have_is_not_given(tmp_path, labels):
    texts = ["sun", "sea", "snow"] * 6
    shares = 0.96 * np.eye(4)[np.arange(18) % labels] + 0.01
    logits = solved_for_shares(tmp_path, texts, shares)
    assert (logits.argmax(axis=1)[:18] == np.arange(18) % labels).all()
    assert (logits[:, :labels].max(axis=1) > logits[:, labels:].max(axis=1)).all()


def test_a_text_without_a_likely_label_has_its_most_probable_one(tmp_path):
    shares = np.full((4, 40), 0.025)
    shares[[0, 1], 3], shares[[2, 3], 7] = 0.03, 0.03
    logits = solved_for_shares(tmp_path, ["sun", "sun", "sea", "sea"], shares)
    assert logits.argmax(axis=1)[:4].tolist() == [3, 3, 7, 7]
