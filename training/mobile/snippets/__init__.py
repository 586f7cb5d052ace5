"""The example programs of a mobile artifact, in Python, JavaScript, Kotlin and Swift."""

from importlib.resources import files

from gatewise.service.model.model_documents import DTYPES
from gatewise.service.model.model_folder import Artifact
from gatewise.service.model.scores import SCORE_FUNCTIONS

# The vectors that the program in JavaScript compares, by the part of a long text that is kept.
_COMPARED = {
    "head": "  const compared = vectors;",
    "other": """\
  const { max_position_embeddings: maxLength } = await read("config.json");
  // The pipeline keeps the head of a long text, this model another part: only texts that are short
  // enough are compared.
  const compared = vectors.filter(({ input_ids }) => input_ids.length < maxLength);""",
}


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
    is_regression = loaded.config.task == "regression"
    if is_regression:
        # Its pipeline takes the softmax of every model with one output.
        del sources["classify.mjs"]
    keep = loaded.config.gatewise.tokens.keep
    filled = {
        "@DTYPE@": DTYPES[loaded.precision],
        "@SCORES@": "number" if is_regression else SCORE_FUNCTIONS[loaded.config.task],
        "@COMPARED@": _COMPARED["head" if keep == "head" else "other"],
    }
    contents = {}
    for name, source in sources.items():
        text = (files(__name__) / f"{source}.txt").read_text(encoding="utf-8")
        model = folder.text_model if source.endswith("_text") else loaded.model_file
        for mark, value in {**filled, "@MODEL@": folder.name_of(model)}.items():
            text = text.replace(mark, value)
        contents[name] = text
    return contents
