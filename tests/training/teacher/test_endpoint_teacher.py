"""A language model as a teacher: probabilities, votes, answers that are none, what is kept."""

import json
import threading

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.teacher.labeller import (
    Labeller,
    check_teachers,
    open_endpoint,
    open_teachers,
)
from gatewise.training.teacher.teacher import LabelledTexts, Lesson, TeacherError
from gatewise.training.teacher.vector_cache import locked
from gatewise.vocab.corpus.labels import Labels

LABELS = Labels(("food", "money", "travel"))
TEXTS = ["bread", "a train", "bread", "cash"]
TRUTH = {"bread": "food", "a train": "travel", "cash": "money"}
QUOTA = (429, {}, json.dumps({"error": {"code": "insufficient_quota", "message": "Pay"}}))


@pytest.fixture
def opened(endpoint, tmp_path):
    """Opens the endpoint as a teacher; what it reports is in `lines` of it."""
    endpoint.answers = lambda text: TRUTH.get(text, "I cannot say.")

    def teacher(*assignments, labels=LABELS, multi_label=False, url=None):
        settings = config.load(assignments=assignments).taught_by([url or endpoint.url])
        settings = check_teachers(settings)
        lines = []
        none = LabelledTexts([], labels.matrix([]))
        (found,) = open_teachers(
            settings,
            labels,
            Lesson(none, none, multi_label, seed=1),
            tmp_path,
            lambda finding: lines.append(finding.message),
        )
        found.lines = lines
        return found

    return teacher


def best(vectors):
    """The labels of vectors; None without one."""
    return [None if np.isnan(row[0]) else LABELS.names[row.argmax()] for row in vectors]


def test_probabilities_are_those_of_the_tokens(endpoint, opened):
    endpoint.answers = lambda _: {"food": 0.5, "travel": 0.3, "Well": 0.2}
    teacher, done = opened(), []
    vectors = teacher.vectors(TEXTS, done.append)
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.tile([0.625, 0, 0.375], (4, 1)))
    assert teacher.probabilities(vectors).sum(axis=1) == pytest.approx(np.ones(4))
    assert sum(done) == 4
    assert sorted(endpoint.texts) == ["a train", "bread", "cash"]
    assert {(body["temperature"], body["top_logprobs"]) for body in endpoint.requests} == {(0, 20)}
    schema = {"type": "string", "enum": list(LABELS.names)}
    formats = [body["response_format"] for body in endpoint.requests]
    assert [each["json_schema"]["schema"] for each in formats] == [schema] * 3
    assert teacher.vectors([]).shape == (0, 3)


def test_without_log_probabilities_answers_are_votes(endpoint, opened):
    endpoint.with_logprobs = False
    given = iter(["food", "travel", "food", "food"])
    endpoint.answers = lambda _: next(given)
    assert opened("teacher.votes=4").vectors(["bread"]).tolist() == [[0.75, 0, 0.25]]
    assert [body["temperature"] for body in endpoint.requests] == [0, 1, 1, 1]
    # The endpoint gives one answer, however many are asked for.
    assert [body.get("n") for body in endpoint.requests] == [None, 3, 2, None]


def test_nothing_that_was_answered_is_asked_again(endpoint, opened):
    first = opened().vectors(TEXTS)
    assert len(endpoint.requests) == 3
    teacher = opened()
    assert teacher.count_missing([*TEXTS, "soup", "soup"]) == 1
    assert teacher.vectors(TEXTS).tolist() == first.tolist()
    assert len(endpoint.requests) == 3
    # Another prompt is another question.
    opened("teacher.descriptions={food='what one eats'}").vectors(["bread"])
    assert len(endpoint.requests) == 4


def test_more_votes_are_added_to_those_that_are_kept(endpoint, opened):
    endpoint.with_logprobs = False
    opened("teacher.votes=2").vectors(["bread"])
    opened("teacher.votes=3").vectors(["bread"])
    assert len(endpoint.requests) == 3


def test_an_answer_that_is_no_label_is_asked_for_once_more(endpoint, opened):
    answers = iter(["Let me see.", "food"])
    endpoint.answers = lambda _: next(answers)
    assert best(opened().vectors(["bread"])) == ["food"]
    first, second = endpoint.requests
    assert second["messages"][:1] == first["messages"]
    assert second["messages"][1]["content"] == "Let me see."


@pytest.mark.parametrize("with_logprobs", [True, False])
def test_a_text_without_a_label_is_counted_and_not_asked_for_again(endpoint, opened, with_logprobs):
    endpoint.with_logprobs = with_logprobs
    teacher = opened("teacher.votes=1")
    vectors = teacher.vectors(["bread", "?", "cash"])
    assert best(vectors) == ["food", None, "money"]
    assert np.isnan(teacher.probabilities(vectors)[1]).all()
    assert endpoint.texts.count("?") == 2
    teacher.report_use()
    use = "4 requests, 400 tokens read and 8 written; 1 texts got no label"
    assert teacher.lines == [f"teacher small: {use}"]
    assert best(opened("teacher.votes=1").vectors(["?", "bread"])) == [None, "food"]
    assert len(endpoint.requests) == 4


def test_votes_that_are_no_label_do_not_count(endpoint, opened):
    endpoint.with_logprobs = False
    answers = iter(["food", "Hm", "travel", "Hm", "Hm", "Hm"])
    endpoint.answers = lambda _: next(answers)
    assert opened("teacher.votes=3").vectors(["bread"]).tolist() == [[0.5, 0, 0.5]]
    assert len(endpoint.requests) == 6


def test_a_model_that_answers_in_prose_is_given_up(endpoint, opened):
    endpoint.answers = lambda text: "food" if "bread" in text else f"The text\nis {text}"
    with pytest.raises(TeacherError, match=r"none for 20 texts .* was 'The text is") as caught:
        opened().vectors([f"text {number}" for number in range(500)])
    assert len(endpoint.requests) < 100
    assert "\n" not in str(caught.value)
    mixed = [text for number in range(60) for text in (f"bread {number}", f"other {number}")]
    assert best(opened().vectors(mixed)) == ["food", None] * 60


def test_a_text_that_is_refused_gets_no_label(endpoint, opened):
    answered = endpoint.response
    refusal = (400, {}, json.dumps({"error": {"message": "the context has 512 places"}}))
    endpoint.response = lambda body: (
        refusal if "long" in body["messages"][0]["content"] else answered(body)
    )
    teacher = opened()
    with pytest.raises(TeacherError, match="the context has 512 places"):
        teacher.vectors(["long"])
    teacher = opened()
    for _ in range(2):
        assert best(teacher.vectors(["bread", "long", "cash"])) == ["food", None, "money"]
        assert teacher.count_missing(["long"]) == 0
        # The next run knows that it was refused.
        teacher = opened()


def test_a_run_that_the_quota_ends_goes_on_from_there(endpoint, opened, tmp_path):
    texts = [f"bread {number}" for number in range(40)]
    endpoint.answers = lambda _: "food"
    endpoint.faults = [None] * 15 + [QUOTA] * 60
    message = r"exhausted: insufficient_quota: Pay\. What it answered for \d+ texts is kept in "
    with pytest.raises(TeacherError, match=message) as caught:
        opened().vectors(texts)
    (file,) = tmp_path.glob("answers-*.jsonl")
    assert f"kept in {file}" in str(caught.value)
    answered = len(file.read_text().splitlines()) - 1
    assert answered == 15
    endpoint.faults, endpoint.requests = [], []
    assert best(opened().vectors(texts)) == ["food"] * 40
    assert len(endpoint.requests) == 40 - answered


def test_an_interrupted_run_keeps_what_it_asked_for(endpoint, opened):
    """Also the answers that were on their way, for they are paid for."""
    texts = [f"bread {number}" for number in range(60)]
    endpoint.answers = lambda _: "food"

    def interrupt(_):
        if len(endpoint.requests) > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened().vectors(texts, interrupt)
    asked = len(endpoint.requests)
    assert asked < 60
    opened().vectors(texts)
    assert sorted(endpoint.texts) == sorted(texts)


def test_a_line_that_was_not_completed_is_cut_off(endpoint, opened, tmp_path):
    opened().vectors(["bread", "cash"])
    (file,) = tmp_path.glob("answers-*.jsonl")
    about, *lines = file.read_bytes().splitlines(keepends=True)
    assert json.loads(about)["model"] == "small"
    assert b"bread" not in b"".join(lines)
    file.write_bytes(b"".join([about, b"{damaged\n", *lines, b'{"text": "b1']))
    teacher = opened()
    assert teacher.count_missing(["bread", "cash", "a train"]) == 1
    teacher.vectors(["a train"])
    assert opened().count_missing(["bread", "cash", "a train"]) == 0


def test_costs_are_told_before_and_on_the_way(endpoint, opened):
    teacher = opened("teacher.votes=3")
    texts = [f"bread {number}" for number in range(12)]
    endpoint.answers = lambda _: "food"
    teacher.report_cost(["bread 0", *texts[1:]])
    (line,) = teacher.lines
    assert "12 texts to label that it has not answered before: about" in line
    tokens = int(line.partition("about ")[2].partition(" ")[0].replace(",", ""))
    assert "up to 3 times as many without log-probabilities" in line
    teacher.vectors(texts)
    sent = sum(len(body["messages"][0]["content"]) for body in endpoint.requests)
    assert tokens == pytest.approx(sent / 4, rel=0.1)
    assert any(line.startswith("teacher small: so far 1") for line in teacher.lines[1:])
    teacher.report_cost(texts)
    assert "0 texts to label" in teacher.lines[-1]


def test_an_endpoint_that_does_not_count_its_tokens(endpoint, opened):
    endpoint.usage = None
    teacher = opened()
    teacher.vectors(["bread"])
    teacher.report_use()
    assert teacher.lines == ["teacher small: 1 requests, the endpoint does not count its tokens"]


def test_it_is_asked_for_several_texts_at_a_time(endpoint, opened):
    """The eighth request comes before the first is answered, or the test does not end."""
    teacher = opened()
    teacher.vectors(["bread"])
    together = threading.Barrier(8, timeout=60)
    answered = endpoint.response

    def response(body):
        endpoint.lock.release()
        try:
            together.wait()
        finally:
            endpoint.lock.acquire()
        return answered(body)

    endpoint.response = response
    endpoint.answers = lambda _: "food"
    assert best(teacher.vectors([f"text {number}" for number in range(16)])) == ["food"] * 16


def test_a_task_with_several_labels_a_text_is_refused(opened):
    with pytest.raises(TeacherError, match="expected a corpus with one label a text, received one"):
        opened(multi_label=True)


def test_it_is_averaged_with_others_and_its_answers_are_kept(endpoint, opened, tmp_path):
    teacher = opened()
    with locked(tmp_path):
        labeller = Labeller([teacher, teacher], tmp_path)
        done = []
        found = labeller.probabilities(TEXTS, done.append)
        without = labeller.probabilities(["?", "bread"])
    assert best(found) == ["food", "travel", "food", "money"]
    assert best(without) == [None, "food"]
    assert sum(done) == 4
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert labeller.vectors(TEXTS) is None


def test_another_endpoint_has_answers_of_its_own(endpoint, opened):
    endpoint.answers = lambda _: "food"
    opened().vectors(["a"])
    opened(url=endpoint.url.replace("127.0.0.1", "localhost")).vectors(["a"])
    assert endpoint.texts == ["a", "a"]
    opened().vectors(["a"])
    assert len(endpoint.requests) == 2


def test_the_models_are_asked_for_once(endpoint, tmp_path):
    settings = check_teachers(config.load().taught_by([endpoint.url]))
    assert settings.teacher.model == "small"
    endpoint.models = ["other"]
    assert open_endpoint(settings, LABELS, tmp_path, print).card.name == "small"
