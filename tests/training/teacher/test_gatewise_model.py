import shutil

import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.training.config import config
from gatewise.training.teacher.gatewise_model import GatewiseModel
from gatewise.training.teacher.labeller import Labeller, check_teachers, open_teachers
from gatewise.training.teacher.teacher import LabelledTexts, Lesson, TeacherError
from gatewise.vocab.corpus.labels import Labels

TEXTS = ["red and blue", "grey", "reddish"]


def labels(*names):
    return Labels(names)


def test_it_gives_the_probabilities_of_its_model(model_folder):
    names = labels(*Classifier.load(model_folder).classes_)
    teacher = GatewiseModel(model_folder, names, multi_label=False)
    texts = ["Wo ist der Bahnhof?", "Where is the station?", ""]
    vectors = teacher.vectors(texts)
    assert teacher.probabilities(vectors).sum(axis=1) == pytest.approx([1, 1, 1])
    best = [names.names[label] for label in vectors[:2].argmax(axis=1)]
    assert best == Classifier.load(model_folder).predict(texts[:2])
    assert teacher.card.license is None


def test_several_are_averaged(multi_label_folder, tmp_path):
    other = shutil.copytree(multi_label_folder, tmp_path / "other")
    names = labels("blue", "green", "red")
    settings = config.load().taught_by([multi_label_folder, other])
    check_teachers(settings)
    # Nothing is fine-tuned.
    none = LabelledTexts([], names.matrix([]))
    teachers = open_teachers(
        settings, names, Lesson(none, none, multi_label=True, seed=1), tmp_path, print
    )
    labeller = Labeller(teachers, tmp_path)
    expected = Classifier.load(other).predict_proba(TEXTS)
    assert labeller.probabilities(TEXTS) == pytest.approx(expected, abs=1e-3)
    assert [card.name for card in labeller.cards] == [multi_label_folder.name, "other"]
    assert labeller.vectors(TEXTS) is None
    assert labeller.similar_words(["red"]) == {}


@pytest.mark.parametrize(
    ("names", "multi_label", "message"),
    [
        (("blue", "green"), True, "corpus's 2 labels, received one with 'red', which no row"),
        (("blue", "green", "pink", "red"), True, "4 labels, received one without 'pink'"),
        (("blue", "green", "red"), False, "one label a text, received one with any number"),
    ],
)
def test_another_task_is_refused(multi_label_folder, names, multi_label, message):
    with pytest.raises(TeacherError, match=message):
        GatewiseModel(multi_label_folder, labels(*names), multi_label=multi_label)
