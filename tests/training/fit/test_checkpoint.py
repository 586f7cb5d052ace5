import numpy as np
import pytest
from gatewise.training.fit.checkpoint import Checkpoint, CheckpointError, Checkpoints, TrainingState
from gatewise.training.fit.diagnosis import Cost
from gatewise.training.fit.progress import Epoch, RateTest

EPOCH = Epoch(1, 10, 0.1 + 0.2, 1 / 3, 0.75, 1e-3)
STANDING = TrainingState(
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
    STANDING,
    state=[np.arange(6, dtype=np.float32).reshape(2, 3), np.array(5, np.int64)],
    best=[np.zeros(3, np.float32)] * 12,
)


def checkpoints(folder, **identity):
    return Checkpoints(folder / "checkpoint.npz", {"seed": 1, "ngrams": (1, 2), **identity})


def test_everything_comes_back_exactly(tmp_path):
    place = checkpoints(tmp_path)
    place.save(CHECKPOINT)
    found = place.load()
    assert found.standing == STANDING
    for name in ("state", "best"):
        for a, b in zip(getattr(found, name), getattr(CHECKPOINT, name), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_before_the_first_epoch_there_is_no_best(tmp_path):
    place = checkpoints(tmp_path)
    place.save(Checkpoint(TrainingState(peak=0.1), CHECKPOINT.state, []))
    assert place.load().standing == TrainingState(peak=0.1)
    assert place.load().best == []


def test_without_a_file_there_is_no_checkpoint(tmp_path):
    assert checkpoints(tmp_path).load() is None


def test_what_differs_is_named(tmp_path):
    checkpoints(tmp_path).save(CHECKPOINT)
    with pytest.raises(CheckpointError, match="another run: it has seed=1, this run has 2"):
        checkpoints(tmp_path, seed=2).load()
    with pytest.raises(CheckpointError, match="it has rows=None, this run has 'abc'"):
        checkpoints(tmp_path, rows="abc").load()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x93NUMPY"])
def test_what_is_no_checkpoint_is_told(tmp_path, content):
    place = checkpoints(tmp_path)
    place.path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read.*without resuming"):
        place.load()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    place = checkpoints(tmp_path)
    place.save(CHECKPOINT)
    broken = Checkpoint(STANDING, [np.array([object()])], [])
    with pytest.raises(ValueError, match="allow_pickle"):
        place.save(broken)
    assert place.load().standing == STANDING
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
