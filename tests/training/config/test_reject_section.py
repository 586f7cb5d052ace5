import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError


def test_either_setting_rejects_and_the_default_does_not():
    assert not config.load().reject.is_wanted
    for setting in ("target_precision=0.95", "out_of_scope=oos"):
        reject = config.load(assignments=[f"reject.{setting}", "reject.label=no idea"]).reject
        assert reject.is_wanted
        assert reject.label == "no idea"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("reject.target_precision=0", r"setting reject\.target_precision"),
        ("reject.target_precision=1", r"setting reject\.target_precision"),
        ("reject.label=nothing", r"reject\.label=nothing: expected reject\.target_prec"),
    ],
)
def test_values_that_make_no_sense_are_refused(assignment, message):
    with pytest.raises(ConfigError, match=message):
        config.load(assignments=[assignment])
