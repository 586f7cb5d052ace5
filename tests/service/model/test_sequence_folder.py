"""The folder of a model of sequences: what contradicts its network is refused."""

import json
import shutil

import pytest

from gatewise.service.model.errors import ModelFolderError
from gatewise.service.model.model_folder import (
    ModelFolder,
    read_model_folder,
    seal_model_folder,
    write_json,
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"features": 3},
            "expected input_values to be 32-bit floats in three dimensions, the last 3",
        ),
        ({"features": 0}, "expected features with the unit vector, and there alone"),
        ({"unit": "word"}, "expected features with the unit vector, and there alone"),
        ({"unit": "word", "features": 0}, "tokenizer.json is not among the listed files"),
        ({"windows": 2}, "expected one window"),
        ({"features": 2**40}, "less than or equal to"),
    ],
)
def test_settings_that_are_not_those_of_the_network_are_refused(
    gestures_run, tmp_path, changed, message
):
    folder = ModelFolder(tmp_path / "model")
    shutil.copytree(gestures_run[1], folder.path)
    manifest = read_model_folder(folder.path).manifest
    document = json.loads(folder.config.read_text(encoding="utf-8"))
    document["gatewise"]["tokens"] |= changed
    write_json(folder.config, document)
    seal_model_folder(folder, manifest)
    with pytest.raises(ModelFolderError, match=message):
        read_model_folder(folder.path)
