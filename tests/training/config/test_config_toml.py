import pytest

from gatewise.training.config import config
from gatewise.training.config.config_toml import to_toml


@pytest.mark.parametrize(
    "assignments",
    [
        (),
        ("network.ngrams=[1, 3]", "training.learning_rate=1e-05", "training.clip_norm=1"),
        ("network.ngrams=[]", "training.learning_rate=auto", "corpus.label_column=étiquette"),
        (r'corpus.text_column="a\"b\\c\td\u007fe\U0001f600"',),
        ("network.vectors=a folder/glove.txt", "network.train_vectors=false"),
    ],
)
def test_what_is_written_is_read_back(tmp_path, assignments):
    given = config.load(assignments=assignments)
    file = tmp_path / "best.toml"
    file.write_text(to_toml(given), encoding="utf-8")
    assert config.load(file) == given
