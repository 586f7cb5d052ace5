"""docs/mobile.md: its examples run, and its tables are what the file takes and gives."""

import re
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

import gatewise
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.mobile.text_model import with_tokenizer
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

HEADING = "Text in, label out"


@pytest.fixture
def section(page):
    return page("mobile").partition(f"\n## {HEADING}\n")[2].partition("\n## ")[0]


def test_the_examples_give_the_classifiers_answers(section, model_folder, tmp_path, monkeypatch):
    (tmp_path / "model").symlink_to(model_folder)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(example, names)
    classifier = gatewise.load("model")
    texts = ["Hello", "Bonjour"]
    assert names["labels"].tolist() == classifier.predict(texts)
    np.testing.assert_allclose(names["scores"], classifier.predict_proba(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("folder", "missing"), [("model_folder", "labels"), ("multi_label_folder", "label")]
)
def test_the_input_and_the_outputs_are_those(tables, request, folder, missing):
    model = with_tokenizer(read_model_folder(request.getfixturevalue(folder)))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    kinds = {"string": "string", "float": "float32", "bool": "bool"}
    found = {
        tensor.name: (
            kinds[re.sub(r"tensor\((\w+)\)", r"\1", tensor.type)],
            ["classes" if isinstance(size, int) else size for size in tensor.shape],
        )
        for tensor in [*session.get_inputs(), *session.get_outputs()]
    }
    documented = {
        row[0].strip("`"): (row[1], row[2].strip("`[]").split(", "))
        for row in tables("mobile", HEADING)
        if row[1] in kinds.values()
    }
    documented.pop(missing)
    assert found == documented


@pytest.mark.parametrize("unit", ["word", "character", "subword", "ngram"])
def test_the_units_that_it_takes_are_those(tables, multi_label_folder, unit):
    (documented,) = [row[1] for row in tables("mobile", HEADING) if f'"{unit}"' in row[0]]
    loaded = read_model_folder(multi_label_folder)
    tokens = loaded.config.gatewise.tokens.model_copy(update={"unit": unit})
    settings = loaded.config.gatewise.model_copy(update={"tokens": tokens})
    config = loaded.config.model_copy(update={"gatewise": settings})
    loaded = replace(loaded, dictionary=train_tokenizer(["blue red"], unit=unit), config=config)
    if documented.startswith("exactly"):
        with_tokenizer(loaded)
    else:
        assert documented == "refused"
        with pytest.raises(TokenizerTablesError):
            with_tokenizer(loaded)
