import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError


def test_nothing_is_rejected_by_default():
    assert not config.load().reject.is_wanted


@pytest.mark.parametrize("setting", ["target_precision=0.95", "out_of_scope=oos"])
def test_either_setting_wants_it(setting):
    reject = config.load(assignments=[f"reject.{setting}", "reject.label=no idea"]).reject
    assert reject.is_wanted
    assert reject.label == "no idea"


@pytest.mark.parametrize("share", ["0", "1"])
def test_a_target_lies_between_nothing_and_all(share):
    with pytest.raises(ConfigError, match=r"setting reject\.target_precision"):
        config.load(assignments=[f"reject.target_precision={share}"])


def test_a_name_alone_is_refused():
    with pytest.raises(ConfigError, match=r"reject\.label=nothing: expected reject\.target_prec"):
        config.load(assignments=["reject.label=nothing"])
