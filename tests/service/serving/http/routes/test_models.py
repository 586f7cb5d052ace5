"""What the service tells of its models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from gatewise.service.model.classifier import Classifier


def test_each_version_tells_what_it_can_do(
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
            "subwords": Classifier.load(forward_folder("tokens.unit=subword")),
        }
    )
    told: dict[str, dict[str, Any]] = {
        model["name"]: model["versions"][0] for model in client.get("/models").json()["models"]
    }
    assert {name: one["task"] for name, one in told.items()} == {
        "languages": "single_label",
        "colours": "multi_label",
        "rejecting": "single_label",
        "forward": "single_label",
        "subwords": "single_label",
    }
    none = {name: one["none_label"] for name, one in told.items() if one["none_label"] is not None}
    assert none.keys() == {"rejecting"}
    (text,) = client.post("/models/rejecting/predict", json={"inputs": "☃ zzz"}).json()
    labels = Classifier.load(rejecting_folder).classes_
    assert none["rejecting"] not in labels
    assert text[0]["label"] in {none["rejecting"], *labels}
    assert told["forward"]["streams"]
    assert not told["languages"]["streams"]
    assert not told["colours"]["streams"]
