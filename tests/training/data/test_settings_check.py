import pytest

from gatewise.training.config.config import ConfigError, load
from gatewise.training.data.settings_check import check_settings
from gatewise.vocab.corpus.columns import FoundColumns

SEQUENCES = FoundColumns("sequence", "label", "single_label", input="sequence")


@pytest.mark.parametrize("size", ["small", "default", "large"])
def test_a_size_is_for_sequences_too_and_its_embedding_unused(size):
    check_settings(load(assignments=[f"network.size={size}"]), SEQUENCES)
    settings = load(assignments=[f"network.size={size}", "network.embedding_size=16"])
    with pytest.raises(ConfigError, match=r"^network\.embedding_size: expected a corpus of texts"):
        check_settings(settings, SEQUENCES)
