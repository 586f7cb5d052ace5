import json

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gatewise.training.tuning.study import SearchError, Study

SPACE = {
    "network.units": IntDistribution(1, 64),
    "network.dropout": FloatDistribution(0.1, 0.7, step=0.2),
    "network.ngrams": CategoricalDistribution(("[]", "[1, 2]", '"auto"')),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
}


@pytest.fixture
def opened(tmp_path):
    def open_again(space=SPACE, seed=1, minimize=False):
        return Study(tmp_path / "study.journal", space, seed, minimize=minimize)

    return open_again


def value_of(settings):
    return 1 / (1 + abs(settings["network.units"] - 20)) + settings["network.dropout"]


def complete(study, count):
    for _ in range(count):
        trial = study.ask()
        trial.report(1, value_of(trial.settings), "accuracy")
        trial.complete(value_of(trial.settings))


def test_trials_are_in_the_space_and_follow_from_the_seed(tmp_path):
    settings = []
    for seed in (1, 1, 2):
        study = Study(tmp_path / f"{len(settings)}.journal", SPACE, seed, minimize=False)
        complete(study, 12)
        settings.append([trial.settings for trial in study.trials])
    assert settings[0] == settings[1] != settings[2]
    assert len({json.dumps(each) for each in settings[0]}) == 12
    for trial in study.trials:
        settings = trial.settings
        assert set(settings) == set(SPACE)
        assert isinstance(settings["network.units"], int)
        assert settings["network.dropout"] in (0.1, 0.3, 0.5, 0.7)
        assert settings["network.ngrams"] in ([], [1, 2], "auto")
        assert 1e-4 <= settings["training.learning_rate"] <= 1e-2
    assert study.metric == "accuracy"


def test_a_killed_trial_does_not_count_and_comes_again(opened, tmp_path):
    whole = Study(tmp_path / "whole.journal", SPACE, 1, minimize=False)
    complete(whole, 14)
    study = opened()
    for settled in (3, 11):
        complete(study, settled - len(study.trials))
        study.ask().report(1, 0.5, "accuracy")  # and no more, as a process that is killed
        study = opened()
        assert len(study.trials) == settled
    trial = study.ask()
    assert (trial.number, trial.is_resumed) == (12, True)
    trial.report(1, 0.5, "accuracy")
    trial.interrupt()
    complete(study, 3)
    expected = [(trial.number, trial.state, trial.settings) for trial in whole.trials]
    assert [(trial.number, trial.state, trial.settings) for trial in study.trials] == expected


def test_the_epochs_of_a_trial_that_is_resumed_are_kept(opened):
    study = opened()
    trial = study.ask()
    trial.report(1, 0.5, "accuracy")
    trial.interrupt()
    trial = opened().ask()
    trial.report(1, 0.9, "accuracy")  # already reported
    trial.report(2, 0.7, "accuracy")
    trial.prune("enough")
    (found,) = opened().trials
    assert (found.state, found.epochs, found.value, found.reason) == ("pruned", 2, 0.7, "enough")


@pytest.mark.parametrize(("minimize", "expected"), [(False, 2), (True, 1)])
def test_the_best_is_complete_and_the_first_of_equals(opened, minimize, expected):
    study = opened(minimize=minimize)
    for value in (0.2, 0.6, 0.2, 0.6):
        study.ask().complete(value)
    study.ask().fail("out of memory")
    trial = study.ask()
    trial.report(1, 0.6, "accuracy")
    trial.report(2, 0.1, "accuracy")
    trial.prune("worse")
    assert study.best.number == expected
    assert [trial.state for trial in study.trials[-2:]] == ["failed", "pruned"]
    assert study.trials[-1].value == (0.1 if minimize else 0.6)


def test_a_trial_worse_than_the_median_is_hopeless_from_its_second_epoch(opened):
    study = opened()
    for _ in range(5):
        trial = study.ask()
        for epoch in (1, 2):
            trial.report(epoch, 0.8, "accuracy")
            assert not trial.is_hopeless()
        trial.complete(0.8)
    trial = study.ask()
    trial.report(1, 0.1, "accuracy")
    assert not trial.is_hopeless()
    trial.report(2, 0.1, "accuracy")
    assert trial.is_hopeless()


def test_the_same_settings_are_not_trained_again(opened):
    study = opened({"network.units": CategoricalDistribution(("8",))})
    first = study.ask()
    assert not first.repeats()
    first.report(1, 0.5, "accuracy")
    first.complete(0.5)
    assert study.ask().repeats()
    one, two = study.trials
    assert (one.repeats, one.was_trained) == (None, True)
    assert (two.repeats, two.was_trained) == (1, False)
    assert (two.state, two.value, two.epochs) == ("complete", 0.5, 1)


def test_a_half_written_line_is_removed_and_an_old_lock_ignored(opened, tmp_path):
    study = opened()
    complete(study, 2)
    before = study.trials
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code":5,"wor')
    (tmp_path / "study.journal.lock").touch()
    study = opened()
    assert study.trials == before
    complete(study, 1)
    assert len(opened().trials) == 3


@pytest.mark.parametrize("contents", [b"text,label\na,b\n", b"{}\n"])
def test_a_file_that_is_no_journal_is_refused(opened, tmp_path, contents):
    (tmp_path / "study.journal").write_bytes(contents)
    with pytest.raises(SearchError, match="not the journal of a search"):
        opened()
    assert (tmp_path / "study.journal").read_bytes() == contents


def test_a_search_is_blank_until_it_has_something_to_lose(opened):
    study = opened()
    assert study.is_blank
    study.ask().interrupt()
    assert study.is_blank
    study.ask().report(1, 0.5, "accuracy")
    assert not opened().is_blank
