"""The example programs of a mobile artifact, in Python, JavaScript, Kotlin and Swift."""

from importlib.resources import files

from gatewise.service.model.model_documents import DTYPES
from gatewise.service.model.model_folder import Artifact


def programs(loaded: Artifact, *, with_text: bool) -> dict[str, str]:
    """The source of each program by file name.

    Args:
        loaded: The model.
        with_text: Whether the folder has a model that takes texts.
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
