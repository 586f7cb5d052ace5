import keras
import pytest

from gatewise.training.fit.schedule import LearningRate

STEPS = 200
KERAS = keras.optimizers.schedules
SAME = {
    "cosine": KERAS.CosineDecay(0.1, STEPS),
    "linear": KERAS.PolynomialDecay(0.1, STEPS, end_learning_rate=0.0),
}


@pytest.mark.parametrize("name", SAME)
def test_schedules_are_those_of_keras(name):
    rate = LearningRate(name, 0.1, STEPS, warmup=0.0)
    for update in (*range(STEPS), STEPS - 1):
        assert rate.at(update) == pytest.approx(float(SAME[name](update)), abs=2e-5), update


def test_the_rate_rises_in_equal_steps_to_its_peak():
    rate = LearningRate("cosine", 1.0, updates=100, warmup=0.1)
    assert [rate.at(update) for update in range(11)] == pytest.approx(
        [(n + 1) / 11 for n in range(11)]
    )
    assert rate.at(99) < 0.001


def test_a_single_update_has_the_peak_rate_and_constant_stays():
    assert LearningRate("cosine", 0.1, updates=1, warmup=0.1).at(0) == 0.1
    rate = LearningRate("constant", 0.3, updates=50, warmup=0.0)
    assert {rate.at(update) for update in range(50)} == {0.3}
