"""The runtimes that are compared, and the reference: Gatewise's classifier in Python."""

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.lib import javascript
from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.javascript import NODE_MODULES, Tell
from benchmarks.parity.answers import Answers, Question
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import PRECISIONS, Precision
from gatewise.service.model.model_folder import ModelFolder, read_model_folder
from gatewise.service.model.scores import ScoreFunction, apply
from gatewise.training.mobile.ort_format import to_ort
from gatewise.vocab.tokenizer.encoding import pad

ORT_FORMAT = "ORT format in Python onnxruntime"

_OPTIMUM_SCRIPT = Path(__file__).with_name("optimum_script.py")
_LAST = 2000  # characters of what a process said before it failed


def precisions(folder: Path) -> list[Precision]:
    """The precisions that a model folder holds."""
    layout = ModelFolder(folder)
    return [precision for precision in PRECISIONS if layout.model_in(precision).is_file()]


def ask_reference(folder: Path, precision: Precision, texts: Sequence[str]) -> Question:
    """Asks the classifier, and makes the question for all other runtimes.

    A text without a token is given to the network too, though Gatewise refuses it.
    """
    classifier = Classifier.load(folder, precision=precision)
    pairs = list(zip(texts, classifier.encode(texts), strict=True))
    if classifier.artifact.config.gatewise.tokens.keep != "head":
        pairs = [(text, encoded) for text, encoded in pairs if not encoded.truncated]
    kept = [encoded for _, encoded in pairs]
    return Question(
        folder,
        precision,
        texts=[text for text, _ in pairs],
        ids=[encoded.ids.tolist() for encoded in kept],
        scores=classifier.scores(kept),
        labels=classifier.classes_,
        multi_label=classifier.multi_label,
        left_out=len(texts) - len(kept),
    )


def in_ort_format(question: Question) -> Answers:
    """The answers of the same model in the ORT format, by onnxruntime itself."""
    model = to_ort(read_model_folder(question.folder, question.precision).model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    function: ScoreFunction = "sigmoid" if question.multi_label else "softmax"

    def scores_of(ids: Sequence[int]) -> NDArray[np.float32]:
        batch = pad([np.array(ids, dtype=np.int64)])
        inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
        return apply(function, session.run(["logits"], inputs)[0])

    return Answers(ORT_FORMAT, None, np.concatenate(list(map(scores_of, question.ids))))


def in_node(questions: Sequence[Question], modules: Path = NODE_MODULES) -> list[list[Answers]]:
    """The answers of Transformers.js and onnxruntime-node to each question."""
    return _in_javascript(questions, lambda models: javascript.in_node(models, modules))


def in_chromium(questions: Sequence[Question], modules: Path = NODE_MODULES) -> list[list[Answers]]:
    """The answers of Transformers.js and onnxruntime-web, as WebAssembly, to each question."""
    return _in_javascript(questions, lambda models: javascript.in_chromium(models, modules))


def _in_javascript(
    questions: Sequence[Question], started: Callable[[Path], AbstractContextManager[Tell]]
) -> list[list[Answers]]:
    with TemporaryDirectory() as scratch:
        for number, question in enumerate(questions):
            (Path(scratch) / str(number)).symlink_to(question.folder.resolve())
            document = json.dumps(question.as_json(str(number)))
            (Path(scratch) / f"{number}.json").write_text(document, encoding="utf-8")
        with started(Path(scratch)) as tell:
            return [
                question.answers_of(tell({"what": "compare", "question": f"{number}.json"}))
                for number, question in enumerate(questions)
            ]


def in_optimum(questions: Sequence[Question], python: Path) -> list[list[Answers]]:
    """The answers of Hugging Face's optimum; `python` is that of its environment."""
    with TemporaryDirectory() as scratch:
        questions_file, answers_file = (
            Path(scratch) / "questions.json",
            Path(scratch) / "answers.json",
        )
        documents = [question.as_json(str(question.folder.resolve())) for question in questions]
        questions_file.write_text(json.dumps(documents), encoding="utf-8")
        command = [*map(str, (python, _OPTIMUM_SCRIPT, questions_file, answers_file))]
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if ended.returncode:
            said = ended.stderr.strip()[-_LAST:]
            raise BenchmarkError(f"{python} ended with {ended.returncode}: {said}")
        found = json.loads(answers_file.read_text(encoding="utf-8"))
    return [question.answers_of(each) for question, each in zip(questions, found, strict=True)]
