from dataclasses import dataclass, replace

import numpy as np
import pytest

from gatewise.training.fit.checkpoint import Checkpoint, CheckpointError, Checkpoints, TrainingState
from gatewise.training.fit.diagnosis import Cost
from gatewise.training.fit.progress import Epoch, RateTest

EPOCH = Epoch(1, 10, 0.1 + 0.2, 1 / 3, 0.75, 1e-3)
STATE = TrainingState(
    peak=0.1,
    update=17,
    lowered=1,
    cost=Cost(first=0.7, smoothed=1 / 7, weight=0.3, epoch_sum=2.0, epoch_rows=7),
    epochs=[EPOCH],
    best=EPOCH,
    waited=2,
    rate_test=RateTest((1e-6, 0.1), (0.7, 0.3), 0.01),
    findings=["the cost is flat"],
)
CHECKPOINT = Checkpoint(
    STATE,
    variables=[np.arange(6, dtype=np.float32).reshape(2, 3), np.array(5, np.int64)],
    best_weights=[np.zeros(3, np.float32)] * 12,
)


def checkpoints(folder, **identity):
    return Checkpoints(folder / "checkpoint.npz", {"seed": 1, "ngrams": (1, 2), **identity})


def test_round_trip_is_exact(tmp_path):
    file = checkpoints(tmp_path)
    assert file.load() is None
    file.save(CHECKPOINT)
    loaded = file.load()
    assert loaded.state == STATE
    for name in ("variables", "best_weights"):
        for a, b in zip(getattr(loaded, name), getattr(CHECKPOINT, name), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    # Before the first epoch there are no best weights.
    file.save(Checkpoint(TrainingState(peak=0.1), CHECKPOINT.variables, []))
    assert (file.load().state, file.load().best_weights) == (TrainingState(peak=0.1), [])


def test_another_identity_is_refused(tmp_path):
    checkpoints(tmp_path).save(CHECKPOINT)
    with pytest.raises(CheckpointError, match="another run: it has seed=1, this run has 2"):
        checkpoints(tmp_path, seed=2).load()
    with pytest.raises(CheckpointError, match="it has rows=None, this run has 'abc'"):
        checkpoints(tmp_path, rows="abc").load()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x93NUMPY"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content):
    file = checkpoints(tmp_path)
    file.path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read.*without resuming"):
        file.load()


def test_a_state_with_other_fields_than_those_of_this_version_is_refused(tmp_path):
    @dataclass
    class OtherState(TrainingState):
        momentum: float = 0.9

    file = checkpoints(tmp_path)
    file.save(replace(CHECKPOINT, state=OtherState(peak=0.1)))
    with pytest.raises(CheckpointError, match=r"does not fit .* another version"):
        file.load()


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path):
    file = checkpoints(tmp_path)
    file.save(CHECKPOINT)
    broken = Checkpoint(STATE, [np.array([object()])], [])
    with pytest.raises(ValueError, match="allow_pickle"):
        file.save(broken)
    assert file.load().state == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
