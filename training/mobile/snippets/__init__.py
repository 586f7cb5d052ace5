"""Programs that a mobile artifact brings along, in four languages, filled in for its model."""

from importlib.resources import files

from gatewise.service.model.model_documents import DTYPES
from gatewise.service.model.model_folder import Artifact


def programs(loaded: Artifact, *, with_text: bool) -> dict[str, str]:
    """The contents of each program, by the name of its file.

    Args:
        loaded: The model.
        with_text: Whether there is a model that takes texts as they are.
    """
    folder = loaded.folder
    sources = {
        "classify.py": "python",
        "classify.mjs": "javascript",
        "TextClassifier.kt": "kotlin_text" if with_text else "kotlin",
        "TextClassifier.swift": "swift_text" if with_text else "swift",
    }
    filled = {
        "@DTYPE@": DTYPES[loaded.precision],
        "@SCORES@": "sigmoid" if loaded.config.multi_label else "softmax",
        "@KEEPS_HEAD@": str(loaded.config.gatewise.tokens.keep == "head").lower(),
    }
    contents = {}
    for name, source in sources.items():
        text = (files(__name__) / f"{source}.txt").read_text(encoding="utf-8")
        model = folder.text_model if source.endswith("_text") else loaded.model_file
        for mark, value in {**filled, "@MODEL@": folder.name_of(model)}.items():
            text = text.replace(mark, value)
        contents[name] = text
    return contents
