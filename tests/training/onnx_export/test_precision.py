"""Models in 16 and 8 bits: the change of their logits and sizes."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import operators, to_onnx
from gatewise.training.onnx_export.precision import convert_precision

VOCABULARY = 300
NETWORKS = [
    {"cell": "gru", "direction": "forward"},
    {"cell": "lstm", "direction": "bidirectional"},
    {"cell": "rnn", "direction": "backward"},
    {"readout": "attention"},
    {"layers": 2},
    {"input": "one_hot"},
    {"input": "one_hot", "direction": "forward", "cell": "gru"},
]


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [generator.integers(1, VOCABULARY, length) for length in (1, 2, 60, *range(3, 64))]


@pytest.fixture
def exported(network):
    """A network with random weights in 32 bits."""

    def build(ngrams=(1, 2), classes=7, ngram_width=None, **options):
        config = NetworkConfig(units=32, embedding_size=24, buckets=500, **options)
        return to_onnx(
            network(config, Shape(VOCABULARY, classes, ngrams, 500, ngram_width)), config
        )

    return build


@pytest.mark.sampled(4)
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_logits_hardly_change_and_do_not_depend_on_batch_mates(
    exported, onnx_session, onnx_logits, options, texts
):
    exact = exported(**options)
    expected = onnx_logits(exact, texts)
    spread = expected.std()
    for precision, tolerance in (("fp16", 0.004), ("int8", 0.15)):
        session = onnx_session(convert_precision(exact, precision))
        together = onnx_logits(session, texts)
        assert 0 < np.abs(together - expected).max() < tolerance * spread
        # The classifier sends a single row of the plain RNN twice, as in 32 bits.
        alone = [onnx_logits(session, [text, text])[:1] for text in texts[:5]]
        assert (np.concatenate(alone) == together[:5]).all()


def test_files_are_smaller_with_the_same_ends_and_plain_operators(exported):
    exact = exported(classes=40, ngram_width=16)
    assert convert_precision(exact, "fp32") is exact
    for precision, share in (("fp16", 0.56), ("int8", 0.33)):
        smaller = convert_precision(exact, precision)
        assert smaller.ByteSize() < share * exact.ByteSize()
        assert smaller.graph.input == exact.graph.input
        assert smaller.graph.output == exact.graph.output
        assert smaller.opset_import == exact.opset_import
        assert set(operators(smaller)) - set(operators(exact)) <= {"Cast", "Mul", "Abs"}


def table_of(rows, more=""):
    """A graph that gathers rows of a table, and further nodes."""
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["": 17]>
        graph (int64[n] ids) => (float[n, {rows.shape[1]}] found)
        {{ found = Gather <axis = 0> (table, ids) {more} }}
        """
    )
    model.graph.initializer.append(numpy_helper.from_array(rows, "table"))
    return model


@pytest.fixture
def found_in(onnx_session):
    """The rows that a graph gathers from its table."""
    return lambda proto, rows: onnx_session(proto).run(["found"], {"ids": np.arange(rows)})[0]


def stored(proto):
    (table,) = (each for each in proto.graph.initializer if each.name == "table")
    return numpy_helper.to_array(table)


def test_a_table_has_a_scale_for_each_column_and_an_error_of_at_most_half_a_step(found_in):
    generator = np.random.default_rng(1)
    table = generator.uniform(-1, 1, (400, 3)).astype(np.float32) * (1, 100, 1e-4)
    table = table.astype(np.float32)
    smaller = convert_precision(table_of(table), "int8")
    assert stored(smaller).dtype == np.int8
    step = np.abs(table).max(axis=0) / 127
    assert (np.abs(found_in(smaller, 400) - table) <= step * 0.5001).all()


def test_zeros_stay_zeros(found_in):
    table = np.random.default_rng(1).normal(0, 1, (400, 3)).astype(np.float32)
    table[0] = 0
    table[:, 1] = 0
    for precision in ("fp16", "int8"):
        found = found_in(convert_precision(table_of(table), precision), 400)
        assert (found[0] == 0).all()
        assert (found[:, 1] == 0).all()


def test_a_table_of_many_small_and_few_large_numbers_stores_roots(found_in):
    generator = np.random.default_rng(1)
    table = (generator.normal(0, 1, (2000, 3)) ** 5).astype(np.float32)
    smaller = convert_precision(table_of(table), "int8")
    assert "Abs" in operators(smaller)
    error = np.abs(found_in(smaller, 2000) - table)
    linear = np.abs(np.rint(table / np.abs(table).max(axis=0) * 127) / 127)
    linear = np.abs(np.sign(table) * linear * np.abs(table).max(axis=0) - table)
    assert np.square(error).sum() < 0.5 * np.square(linear).sum()


def test_numbers_out_of_range_of_16_bits_stay_as_they_are(found_in):
    table = np.full((400, 3), 1e5, dtype=np.float32)
    smaller = convert_precision(table_of(table), "fp16")
    assert (found_in(smaller, 400) == table).all()


def test_a_table_with_another_use_and_a_small_one_stay_as_they_are():
    table = np.ones((400, 3), dtype=np.float32)
    proto = table_of(table, "negative = Neg(table)")
    for precision in ("fp16", "int8"):
        assert stored(convert_precision(proto, precision)).dtype == np.float32
    small = table_of(np.ones((100, 3), dtype=np.float32))
    assert convert_precision(small, "int8") == small


@pytest.mark.parametrize("scale", [1e-25, 1e-8, 1, 1e8, 1e25])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 1e-3), ("int8", 0.02)])
def test_weights_of_any_size_keep_their_digits(found_in, scale, precision, tolerance):
    table = np.random.default_rng(1).normal(0, scale, (400, 3)).astype(np.float32)
    found = found_in(convert_precision(table_of(table), precision), 400)
    np.testing.assert_allclose(found, table, rtol=1e-3, atol=tolerance * scale)


def test_a_column_out_of_range_of_16_bits_keeps_a_table_as_it_is():
    # The columns of a model of several numbers have their units.
    table = np.full((300, 2), [1.0, 1e-8], dtype=np.float32)
    assert convert_precision(table_of(table), "fp16") == table_of(table)
    table[:, 1] = 0
    assert convert_precision(table_of(table), "fp16") != table_of(table)
