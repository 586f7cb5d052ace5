"""The oldest supported onnxruntime loads the networks and gives the same logits.

It is installed into an environment of its own, once a session, if a package index is reachable.
"""

import json
import subprocess
import sys
import venv

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.graph_builder import OLDEST_ONNXRUNTIME
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.step_model import build_step_model

# Reads the path and the inputs of a network; writes its version and the logits.
RUN = """
import json, sys
import numpy as np
import onnxruntime
request = json.load(sys.stdin)
session = onnxruntime.InferenceSession(request["path"], providers=["CPUExecutionProvider"])
inputs = {name: np.array(ids, dtype=np.int64) for name, ids in request["inputs"].items()}
kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
for each in session.get_inputs():
    if each.name not in inputs:
        shape = [size if isinstance(size, int) else 1 for size in each.shape]
        inputs[each.name] = np.zeros(shape, kinds[each.type])
(logits,) = session.run(["logits"], inputs)
json.dump([onnxruntime.__version__, logits.tolist()], sys.stdout)
"""
VOCABULARY = 200


@pytest.fixture(scope="module")
def oldest(tmp_path_factory):
    """The Python of an environment with the oldest onnxruntime."""
    if sys.version_info >= (3, 12):
        pytest.skip(f"there is no onnxruntime {OLDEST_ONNXRUNTIME} for this version of Python")
    place = tmp_path_factory.mktemp("oldest")
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    # Builds of that age require numpy 1.
    wanted = [f"onnxruntime=={OLDEST_ONNXRUNTIME}", "numpy<2"]
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", *wanted]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if "from versions: none" in ended.stderr:
        pytest.skip("no index of packages can be reached to install it from")
    assert ended.returncode == 0, ended.stderr
    return python


def logits_of(python, model, inputs):
    request = {"path": str(model), "inputs": {name: ids.tolist() for name, ids in inputs.items()}}
    ended = subprocess.run(
        [python, "-c", RUN], input=json.dumps(request), check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    version, logits = json.loads(ended.stdout)
    assert version == OLDEST_ONNXRUNTIME
    return np.array(logits, dtype=np.float32)


def texts(vocab_size):
    """Texts of 1 to 30 tokens, padded."""
    generator = np.random.default_rng(0)
    lengths = np.array([1, 2, 7, 30])
    mask = (np.arange(30) < lengths[:, None]).astype(np.int64)
    return {
        "input_ids": generator.integers(1, vocab_size, mask.shape) * mask,
        "attention_mask": mask,
    }


def check_logits(python, model, vocab_size):
    inputs = texts(vocab_size)
    (expected,) = ort.InferenceSession(model).run(["logits"], inputs)
    np.testing.assert_allclose(logits_of(python, model, inputs), expected, rtol=0, atol=1e-5)


def test_the_manifest_names_it(model_folder):
    assert read_model_folder(model_folder).manifest.onnxruntime == OLDEST_ONNXRUNTIME


def test_every_network_of_a_model_folder_gives_the_same_logits(oldest, model_folder):
    loaded = read_model_folder(model_folder)
    files = sorted(loaded.folder.model.parent.glob("*.onnx"))
    assert loaded.folder.model in files
    for file in files:
        check_logits(oldest, file, loaded.config.vocab_size)


@pytest.mark.parametrize(
    ("config", "ngrams"),
    [
        ({"cell": "gru", "readout": "attention", "layers": 2}, (1, 2)),
        ({"cell": "gru", "reset_after": False, "direction": "backward", "readout": "last"}, ()),
        (
            {"cell": "lstm", "direction": "forward", "readout": "mean", "input": "one_hot"},
            (1, 2, 3),
        ),
        ({"cell": "rnn", "readout": "max"}, (2,)),
    ],
    ids=str,
)
def test_networks_of_every_kind_give_the_same_logits(oldest, tmp_path, config, ngrams):
    config = NetworkConfig(units=8, embedding_size=8, **config)
    shape = Shape(vocab_size=VOCABULARY, classes=5, ngrams=ngrams, buckets=100)
    model = build(config, shape, seed=1)
    generator = np.random.default_rng(2)
    model.set_weights([w + generator.normal(0, 0.1, w.shape) for w in model.get_weights()])
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(model, config).SerializeToString())
    check_logits(oldest, file, VOCABULARY)


@pytest.mark.parametrize(
    ("config", "ngrams"),
    [
        ({"cell": "gru", "readout": "attention", "layers": 2}, (1, 2)),
        ({"cell": "lstm", "readout": "max_mean", "input": "one_hot"}, (1, 2, 3)),
        ({"cell": "rnn", "readout": "max"}, ()),
    ],
    ids=str,
)
def test_step_networks_give_the_same_logits(oldest, tmp_path, config, ngrams):
    config = NetworkConfig(units=8, embedding_size=8, direction="forward", **config)
    shape = Shape(vocab_size=VOCABULARY, classes=5, ngrams=ngrams, buckets=100)
    whole = to_onnx(build(config, shape, seed=1), config)
    file = tmp_path / "step.onnx"
    file.write_bytes(
        build_step_model(whole, config, shape.table() if ngrams else None, 64).SerializeToString()
    )
    inputs = {"input_ids": np.array([7]), "attention_mask": np.array([1])}
    session = ort.InferenceSession(whole.SerializeToString())
    (expected,) = session.run(["logits"], {name: one[None] for name, one in inputs.items()})
    del inputs["attention_mask"]
    np.testing.assert_allclose(logits_of(oldest, file, inputs), expected, rtol=0, atol=1e-5)


def test_every_file_is_checked_by_onnx(model_folder):
    for file in ModelFolder(model_folder).model.parent.glob("*.onnx"):
        onnx.checker.check_model(onnx.load(file), full_check=True)
