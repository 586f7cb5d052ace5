"""What tests share: a real corpus, a model trained on it once a session, the larger corpora."""

import csv
import importlib.util
from pathlib import Path

import hypothesis
import pytest

# No test is timed: a busy machine is not a failure.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# Distinct enough to be learnt in seconds; three scripts, one of them without spaces.
_LANGUAGES = ("de", "el", "en", "fr", "ja")


@pytest.fixture(scope="session")
def languages(tmp_path_factory):
    """A folder with train.csv, validation.csv and test.csv: sentences in five languages."""
    path = ROOT / "examples" / "languages" / "prepare.py"
    spec = importlib.util.spec_from_file_location("languages_prepare", path)
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    whole = tmp_path_factory.mktemp("languages-whole")
    prepare.main(out=whole)
    folder = tmp_path_factory.mktemp("languages")
    for name in ("train", "validation", "test"):
        with (whole / f"{name}.csv").open(encoding="utf-8", newline="") as source:
            rows = [row for row in csv.DictReader(source) if row["label"] in _LANGUAGES]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def small_config():
    """Settings that train in seconds."""
    from training import config

    return config.load(
        assignments=[
            "tokens.unit=character",
            "tokens.max_length=64",
            "network.units=16",
            "network.embedding_size=16",
            "network.buckets=1000",
            "training.epochs=3",
        ]
    )


@pytest.fixture(scope="session")
def trained(languages, small_config, tmp_path_factory):
    """A training run and the folder it wrote: `(run, path)`. Not to be changed by a test."""
    from training.corpora import Corpora, read
    from training.pipeline import train
    from vocab.bad_rows import StopAtBadRows

    out = tmp_path_factory.mktemp("models") / "languages"
    corpora = Corpora(languages / "train.csv", languages / "validation.csv", languages / "test.csv")
    rows = read(corpora, small_config, StopAtBadRows())
    return train(rows, out, small_config, StopAtBadRows(), lambda _: None), out


@pytest.fixture(scope="session")
def model_folder(trained):
    """A model folder, really trained. Not to be changed by a test."""
    return trained[1]


@pytest.fixture(scope="session")
def shared_data():
    """The larger corpora that are kept beside the checkout, where they are at hand."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the corpora are not at {SHARED_DATA}")
    return SHARED_DATA
