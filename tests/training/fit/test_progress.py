"""How far a stage of a run has come."""

import pytest

from gatewise.training.fit.progress import FINE_TUNING, FITTING, LABELLING, Progress


@pytest.mark.parametrize(
    ("stage", "unit"),
    [
        (FITTING, "updates"),
        ("fitting without the teacher", "updates"),
        ("fold 2 of 3", "updates"),
        (FINE_TUNING, "updates"),
        (f"{LABELLING}labelling copies", "texts"),
    ],
)
def test_a_teacher_reads_texts_and_training_makes_updates(stage, unit):
    assert Progress(1, 2, stage=stage).unit == unit
