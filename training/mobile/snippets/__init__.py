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


# What the programs in Kotlin and Swift are given; the ids of a text, or the numbers of a sequence.
_IDS = {
    "@CLASS@": "TextClassifier",
    "@WHAT@": "token ids",
    "@NOTE@": """\
// tokenizer.json turns a text into ids; a folder exported with its tokenizer has a model that
// takes texts. test_vectors.json has ids and their scores.""",
    "@GIVEN@": "the ids of one text, which begin with 2, [CLS]",
    "@NAME@": "ids",
    "@INPUT@": "input_ids",
    "@FEATURES@": "",
    "@PER_STEP@": "",
    "@IMPORTS@": "import java.nio.LongBuffer",
    "@KOTLIN_TYPE@": "Long",
    "@SWIFT_TYPE@": "Int64",
    "@SWIFT_KIND@": ".int64",
}


def _numbers(features: int) -> dict[str, str]:
    return {
        "@CLASS@": "SequenceClassifier",
        "@WHAT@": "sequences of numbers",
        "@NOTE@": "// test_vectors.json has sequences and their scores.",
        "@GIVEN@": f"one sequence, {features} numbers a step, NaN where one is missing",
        "@NAME@": "numbers",
        "@INPUT@": "input_values",
        "@FEATURES@": f", {features}",
        "@PER_STEP@": f" / {features}",
        "@IMPORTS@": "import java.nio.FloatBuffer\nimport java.nio.LongBuffer",
        "@KOTLIN_TYPE@": "Float",
        "@SWIFT_TYPE@": "Float",
        "@SWIFT_KIND@": ".float",
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
    features = loaded.config.gatewise.tokens.features
    if features:
        sources = {
            "classify.py": "python_sequence",
            "classify.mjs": "javascript_sequence",
            "SequenceClassifier.kt": "kotlin",
            "SequenceClassifier.swift": "swift",
        }
    elif is_regression:
        # Its pipeline takes the softmax of every model with one output.
        del sources["classify.mjs"]
    keep = loaded.config.gatewise.tokens.keep
    filled = {
        "@DTYPE@": DTYPES[loaded.precision],
        "@SCORES@": "number" if is_regression else SCORE_FUNCTIONS[loaded.config.task],
        "@COMPARED@": _COMPARED["head" if keep == "head" else "other"],
        **(_numbers(features) if features else _IDS),
    }
    contents = {}
    for name, source in sources.items():
        text = (files(__name__) / f"{source}.txt").read_text(encoding="utf-8")
        model = folder.text_model if source.endswith("_text") else loaded.model_file
        for mark, value in {**filled, "@MODEL@": folder.name_of(model)}.items():
            text = text.replace(mark, value)
        contents[name] = text
    return contents
