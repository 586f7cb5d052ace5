"""docs/tuning.md shows spaces that can be searched, and the one that is searched by default."""

import re

from gatewise.training.config.config import Config
from gatewise.training.tuning import search_space


def test_the_spaces_shown_are_spaces(page, tmp_path):
    shown = re.findall(r"```toml\n(.*?)```", page("tuning"), re.DOTALL)
    assert len(shown) == 2
    for text in shown:
        file = tmp_path / "space.toml"
        file.write_text(text, encoding="utf-8")
        assert search_space.load(file, Config())
    assert shown[1] == search_space.DEFAULT
