import pytest
import typer

from gatewise.value_types import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400)],
)
def test_a_length_of_time(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "m", "-3m", "3 m", "1h-30m", "soon"])
def test_what_is_none_is_wrong_usage(text):
    with pytest.raises(typer.BadParameter, match="such as 90s"):
        seconds(text)
