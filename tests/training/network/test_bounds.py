"""A network that no folder may hold is refused before it is trained, and no other."""

import csv
import re

import pytest
from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_folder import read_model_folder, write_model_folder
from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data.corpora import Corpora
from gatewise.training.network import bounds
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.pipeline import train
from gatewise.training.trained_model import TrainedModel
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

DEEP = ["network.layers=8", "network.units=256", "network.ngrams=[]", "network.spelling=[]"]


def settings(max_length):
    return config.load(
        assignments=[*DEEP, f"tokens.max_length={max_length}", "tokens.unit=character"]
    )


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["abc"], unit="character")


@pytest.fixture(scope="module")
def shape(tokenizer):
    return Shape(tokenizer.get_vocab_size(), 2, ())


@pytest.fixture(scope="module")
def deep(shape):
    """A network that is too large for texts of 100,000 tokens, and fits shorter ones."""
    return build(settings(512).network, shape, 1)


@pytest.fixture(scope="module")
def longest(deep):
    """The most tokens that it is advised to read."""
    with pytest.raises(ConfigError) as refused:
        bounds.check(deep, settings(100_000), 2)
    told = str(refused.value)
    assert told.startswith(
        "network.units=256, network.layers=8 and tokens.max_length=100000: no model folder may "
        "hold so large a network: to read 1 x 100000 tokens it takes "
    )
    assert "\n" not in told
    return int(re.search(r"lower tokens\.max_length to (\d+), or network\.units$", told)[1])


def test_what_is_advised_is_the_most_that_is_allowed(deep, longest):
    bounds.check(deep, settings(longest), 2)
    with pytest.raises(ConfigError, match=f"lower tokens.max_length to {longest}"):
        bounds.check(deep, settings(longest + 1), 2)


def test_it_is_what_the_reader_of_a_folder_says(deep, shape, tokenizer, longest, tmp_path):
    for max_length in (longest, longest + 1):
        trained = TrainedModel(
            lowered=to_onnx(deep, settings(max_length).network),
            tokenizer=tokenizer,
            labels=Labels.of(["a", "b"]),
            multi_label=False,
            shape=shape,
            config=settings(max_length),
            parameters=deep.count_params(),
            corpus_sha256="0" * 64,
        )
        with write_model_folder(tmp_path / str(max_length)) as folder:
            trained.write(folder)
    read_model_folder(tmp_path / str(longest))
    with pytest.raises(ModelFolderError, match=f"to read 1 x {longest + 1} tokens"):
        read_model_folder(tmp_path / str(longest + 1))


def test_a_usual_network_is_not_refused(shape):
    usual = config.load(assignments=["network.ngrams=[]", "tokens.max_length=100000"])
    bounds.check(build(usual.network, shape, 1), usual, 2)


def test_where_no_text_is_short_enough_the_layers_are_to_blame(deep, monkeypatch):
    monkeypatch.setattr("gatewise.service.model.onnx_validation.demands._STEPS_OF_TOKEN", 0)
    monkeypatch.setattr("gatewise.service.model.onnx_validation.demands._TIMES_THE_WEIGHTS", 0)
    with pytest.raises(ConfigError, match=r"million steps.*; lower network.units or network.layer"):
        bounds.check(deep, settings(512), 2)


def test_a_run_ends_before_its_first_update(tmp_path, monkeypatch):
    monkeypatch.setattr("gatewise.training.fit.fit.fit", pytest.fail)
    with (tmp_path / "train.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(f"{word} {row}", word) for row in range(20) for word in ("good", "bad")]
        csv.writer(file).writerows([("text", "label"), *rows])
    out = tmp_path / "model"
    with pytest.raises(ConfigError, match=r"lower tokens\.max_length to \d+"):
        train(
            Corpora(tmp_path / "train.csv"),
            out,
            settings(100_000),
            StopAtBadRows(),
            lambda _: None,
        )
    assert not out.exists()
