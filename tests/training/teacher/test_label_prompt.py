"""What is asked of a language model, and which label its answer is."""

import pytest

from gatewise.training.teacher.completion import AnswerToken
from gatewise.training.teacher.label_prompt import LabelPrompt
from gatewise.training.teacher.teacher import TeacherError


@pytest.fixture
def prompt():
    return LabelPrompt(["card_arrival", "card_linking", "other"], {"other": "anything else"})


def test_the_question_has_the_labels_their_meanings_and_the_text(prompt):
    (message,) = prompt.messages("where is it?")
    assert message["role"] == "user"
    for part in ("1. card_arrival\n", "3. other: anything else\n", "Text: where is it?\n"):
        assert part in message["content"]


def test_a_refused_answer_is_told_and_the_labels_are_repeated(prompt):
    question, answer, again = prompt.messages("where is it?", "It is about a card.")
    assert [question] == prompt.messages("where is it?")
    assert answer == {"role": "assistant", "content": "It is about a card."}
    assert "card_arrival, card_linking, other" in again["content"]


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("card_arrival", 0),
        (" Card_Linking\n", 1),
        ('"other".', 2),
        ("3", 2),
        ("2. card_linking", 1),
        ("1. card_linking", None),
        ("4", None),
        ("card", None),
        ("It is card_arrival", None),
        ("card_arrival, card_linking", None),
        ("other\n\nThe text is about a card.", None),
        ("", None),
        (' "card_linking"', 1),
        ('"card"', None),
    ],
)
def test_an_answer_is_one_label_or_none(prompt, answer, label):
    assert prompt.label_of(answer) == label


def test_labels_that_are_numbers_are_not_numbered():
    prompt = LabelPrompt(["0", "1", "2"], {})
    assert "- 0\n- 1\n- 2\n" in prompt.messages("a")[0]["content"]
    assert [prompt.label_of(answer) for answer in ("0", "1", "2", "3")] == [0, 1, 2, None]


def test_an_answer_in_json_is_read_as_json():
    prompt = LabelPrompt(["etc.", 'a "b"', "é"], {})
    answers = ('"etc."', r'"a \"b\""', r'"\u00e9"', '"etc')
    assert [prompt.label_of(answer) for answer in answers] == [0, 1, 2, None]


def test_what_an_enforced_answer_would_have_begun_with_is_not_counted(prompt):
    tokens = [
        AnswerToken('"', {'"': 0.1, "other": 0.8, "Card": 0.1}),
        AnswerToken("other", {"other": 0.5, "card_linking": 0.25, "The": 0.25}),
        AnswerToken('"', {'"': 1.0}),
    ]
    assert prompt.probabilities(tokens, 2).tolist() == pytest.approx([0, 1 / 3, 2 / 3])


def test_another_question_has_places_for_the_text_and_the_labels():
    prompt = LabelPrompt(["ham", "spam"], {"spam": "{text}"}, "{text} is?\n{labels}")
    (message,) = prompt.messages("Buy {labels}")
    assert message["content"] == "Buy {labels} is?\n1. ham\n2. spam: {text}"
    assert prompt.digest != LabelPrompt(["ham", "spam"], {}, "{text} is?\n{labels}").digest


def test_labels_that_differ_in_case_are_told_apart():
    prompt = LabelPrompt(["US", "us", "U.S."], {})
    assert [prompt.label_of(answer) for answer in ("US", "us", "Us", "U.S.")] == [0, 1, None, 2]


def test_a_description_of_another_label_is_refused():
    with pytest.raises(TeacherError, match="labels ham, spam, received one of 'spma'"):
        LabelPrompt(["ham", "spam"], {"spma": "advertising"})


def test_tokens_that_several_labels_begin_with_are_shared(prompt):
    tokens = [
        AnswerToken("card", {"card": 0.8, "other": 0.1, "The": 0.1}),
        AnswerToken("_", {"_": 1.0}),
        AnswerToken("arr", {"arr": 0.75, "link": 0.25}),
        AnswerToken("ival", {"ival": 0.5, "x": 0.5}),
    ]
    shares = [0.6 / 0.9, 0.2 / 0.9, 0.1 / 0.9]
    assert prompt.probabilities(tokens, 0).tolist() == pytest.approx(shares)
    # Of an alternative, what follows is not known.
    tokens = [AnswerToken("other", {"other": 0.5, "card": 0.4, " ": 0.1})]
    assert prompt.probabilities(tokens, 2).tolist() == pytest.approx([2 / 9, 2 / 9, 5 / 9])


def test_an_answer_by_number_has_the_probabilities_of_numbers(prompt):
    tokens = [AnswerToken("2", {"2": 0.5, " 1": 0.25, "Card": 0.25})]
    assert prompt.probabilities(tokens, 1).tolist() == pytest.approx([0.375, 0.625, 0])


def test_without_probabilities_the_answer_is_certain(prompt):
    assert prompt.probabilities([], 1).tolist() == [0, 1, 0]
    assert prompt.probabilities([AnswerToken("x", {"x": 0.0})], 1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("before", ["\n", " ", "\n\n ", '"', "**"])
def test_what_an_answer_may_begin_with_says_nothing_yet(prompt, before):
    tokens = [
        AnswerToken(before, {before: 0.8, "other": 0.2}),
        AnswerToken("other", {"other": 0.75, "card_linking": 0.25}),
        AnswerToken("\n", {"\n": 1.0}),
    ]
    assert prompt.label_of(f"{before}other\n") == 2
    assert prompt.probabilities(tokens, 2).tolist() == pytest.approx([0, 0.2, 0.8])


def test_a_label_may_begin_with_what_an_answer_has_around_it():
    prompt = LabelPrompt([".net", "net"], {})
    tokens = [AnswerToken(".", {".": 0.75, "net": 0.25}), AnswerToken("net", {"net": 1.0})]
    assert prompt.probabilities(tokens, 0).tolist() == pytest.approx([0.75, 0.25])
