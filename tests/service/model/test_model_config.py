"""What `config.json` says of tokens is what the classifier does."""

import json
import shutil

import pytest
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_config import Manifest, ModelFolder
from gatewise.service.model.model_folder import seal_model_folder, write_json

TEXT = "red green blue grey grey grey grey green blue red"


@pytest.mark.parametrize(
    ("keep", "tail"), [(None, 0), ("head", 0), ("tail", 7), ("both", 3)], ids=str
)
def test_the_part_of_a_text_is_kept_that_the_folder_names(multi_label_folder, tmp_path, keep, tail):
    folder = ModelFolder(shutil.copytree(multi_label_folder, tmp_path / "model"))
    document = json.loads(folder.config.read_bytes())
    tokens = document["gatewise"]["tokens"]
    # Folders of earlier versions lack the key.
    del tokens["keep"]
    if keep is not None:
        tokens["keep"] = keep
    write_json(folder.config, document)
    seal_model_folder(folder, Manifest.model_validate_json(folder.manifest.read_bytes()))
    classifier = Classifier.load(folder.path)
    (cut,) = classifier.encode([TEXT])
    words = TEXT.split()
    kept = words[: 7 - tail] + words[len(words) - tail :]
    (whole,) = classifier.encode([" ".join(kept)])
    assert (cut.truncated, whole.truncated) == (True, False)
    assert cut.ids.tolist() == whole.ids.tolist()
