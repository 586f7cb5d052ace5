"""What the tests of runtimes share: the texts, and the questions for each runtime."""

import itertools
import json
import shutil

import pytest

from benchmarks.parity import runtimes
from benchmarks.parity import texts as parity_texts
from benchmarks.parity.answers import Question
from benchmarks.parity.answers import compare as compare_answers

# Every kind of token, by the settings that ask for it.
UNITS = {
    "word": {"unit": "word"},
    "bpe": {"unit": "subword"},
    "character": {"unit": "character"},
    "bigram": {"unit": "ngram"},
}
CASES = {"lower case": {"lowercase": True}, "case kept": {"lowercase": False}}
# Normal forms follow the Unicode version of a runtime: these get texts of old characters alone.
FORMS = {
    "nfc": {"normalization": "nfc"},
    "nfkc": {"normalization": "nfkc", "lowercase": False},
    "nfd": {"normalization": "nfd"},
    "nfkd": {"normalization": "nfkd", "accents": "strip"},
    "stripped": {"accents": "strip"},
}
DICTIONARIES = [
    *(f"{unit}, {case}" for unit in UNITS for case in CASES),
    *(f"bpe, {form}" for form in FORMS),
]
PRECISIONS = ["fp32", "fp16", "int8"]
MODELS = [*PRECISIONS, "several labels", "exported"]
TEXTS = 1500
LONG_TEXTS = 3  # of the longest, for each dictionary: they take a second each
MAX_LENGTH = 2000  # of the dictionaries: what is cut off is not compared


@pytest.fixture(scope="session")
def texts(languages, tmp_path_factory):
    """Real sentences, every awkward text, and random ones."""
    data = tmp_path_factory.mktemp("data")
    (data / "languages").symlink_to(languages)
    return parity_texts.collect(data, TEXTS)


def known_to_unicode_3(text):
    """Whether every character of a text was there in Unicode 3.2, as Python knows it."""
    import unicodedata

    known = unicodedata.ucd_3_2_0
    return all(known.category(character) != "Cn" for character in set(text))


@pytest.fixture(scope="session")
def questions(texts, model_folder, multi_label_folder, tmp_path_factory):
    """The questions for every runtime, by name: models, and a dictionary of every kind."""
    root = tmp_path_factory.mktemp("questions")
    several = shutil.copytree(multi_label_folder, root / "several")
    write_tokenizer_config(model_folder, several, 8)
    words = ["blue green", "red reddish grey", "Red blue [UNK] " * 9, "green\u2028red", ""]
    found = {
        precision: runtimes.ask_reference(model_folder, precision, texts)
        for precision in PRECISIONS
    }
    found["several labels"] = runtimes.ask_reference(several, "fp32", [*words, *texts])
    small = export(model_folder, root / "exported")
    found["exported"] = runtimes.ask_reference(small, "int8", texts)
    old = [text for text in texts if known_to_unicode_3(text)]
    assert len(old) > TEXTS / 3
    for (unit, options), (case, more) in itertools.product(UNITS.items(), CASES.items()):
        name = f"{unit}, {case}"
        found[name] = ask_dictionary(model_folder, root, texts, {**options, **more})
    for form, more in FORMS.items():
        options = {**UNITS["bpe"], **more}
        found[f"bpe, {form}"] = ask_dictionary(model_folder, root, old, options)
    assert list(found) == [*MODELS, *DICTIONARIES]
    return found


def export(model_folder, out):
    """The model made so small that some of its tokens and n-grams are left out."""
    from gatewise.training.mobile.mobile_export import export_mobile

    exported = export_mobile(
        model_folder, out, max_size=20_000, with_text=False, on_step=lambda _: None
    )
    steps = " ".join(step.what for step in exported.steps)
    assert "tokens" in steps
    assert "n-gram" in steps
    return out


def ask_dictionary(model_folder, root, texts, options):
    """A question for the tokenizer alone, of a dictionary that knows most of the texts."""
    from gatewise.vocab.tokenizer.encoding import Encoder
    from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
    from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer

    folder = root / str(len(list(root.iterdir())))
    folder.mkdir()
    long = [text for text in texts if len(text) > MAX_LENGTH][:LONG_TEXTS]
    short = [text for text in texts if len(text) <= MAX_LENGTH]
    texts = [*short, *long]
    tokenizer = train_tokenizer(short, vocab_size=8000, **options)
    (folder / "tokenizer.json").write_bytes(serialize_tokenizer(tokenizer))
    write_tokenizer_config(model_folder, folder, MAX_LENGTH)
    ids = [text.ids.tolist() for text in Encoder(tokenizer, MAX_LENGTH).encode(texts)]
    return Question(folder, None, texts, ids)


def write_tokenizer_config(model_folder, folder, max_length):
    """The file that a trained folder has, for texts of another length."""
    name = "tokenizer_config.json"
    config = json.loads((model_folder / name).read_text(encoding="utf-8"))
    config["model_max_length"] = max_length
    (folder / name).write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(params=DICTIONARIES)
def dictionary(request):
    """The name of a question for a tokenizer alone."""
    return request.param


@pytest.fixture(params=MODELS)
def model(request):
    """The name of a question for a model."""
    return request.param


@pytest.fixture(scope="session")
def compared(questions):
    """How the answers to every question differ from the reference's, by question and runtime."""

    def compare(answers):
        return {
            name: {answer.runtime: compare_answers(question, answer) for answer in found}
            for (name, question), found in zip(questions.items(), answers, strict=True)
        }

    return compare


@pytest.fixture(scope="session")
def check_same():
    """Fails unless a runtime agrees in everything, and has answered all of it."""

    def check(comparison, *, own_ids=True, scores=True):
        assert comparison.differing == (), comparison
        assert comparison.texts > TEXTS / 3
        assert comparison.ids_differ == (0 if own_ids else None)
        assert (comparison.largest is not None) == scores

    return check
