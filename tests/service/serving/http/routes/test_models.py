"""`GET /models`: the versions of models and their properties."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gatewise.service.model.classifier import Classifier


def test_the_properties_of_each_version(
    serve_models: Callable[..., httpx.Client],
    classifier: Classifier,
    multi_label_folder: Path,
    rejecting_folder: Path,
    forward_folder: Callable[..., Path],
) -> None:
    client = serve_models(
        {
            "languages": classifier,
            "colours": Classifier.load(multi_label_folder),
            "rejecting": Classifier.load(rejecting_folder),
            "forward": Classifier.load(forward_folder()),
        }
    )
    versions: dict[str, dict[str, Any]] = {
        model["name"]: model["versions"][0] for model in client.get("/models").json()["models"]
    }
    assert {name: one["task"] for name, one in versions.items()} == {
        "languages": "single_label",
        "colours": "multi_label",
        "rejecting": "single_label",
        "forward": "single_label",
    }
    none = {
        name: one["none_label"] for name, one in versions.items() if one["none_label"] is not None
    }
    assert none.keys() == {"rejecting"}
    (text,) = client.post("/models/rejecting/predict", json={"inputs": "☃ zzz"}).json()
    labels = Classifier.load(rejecting_folder).classes_
    assert none["rejecting"] not in labels
    assert text[0]["label"] in {none["rejecting"], *labels}
    assert versions["forward"]["streams"]
    assert not versions["languages"]["streams"]
    assert not versions["colours"]["streams"]
