import json
from contextlib import nullcontext

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

import gatewise
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.fit.progress import Progress
from gatewise.training.tuning import search_space
from gatewise.training.tuning.hyperparameter_search import Callbacks, SearchLimits, tune
from gatewise.training.tuning.search_folder import SearchFolder
from gatewise.training.tuning.study import SearchError, Suggestion
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError

BASE = [
    "tokens.unit=character",
    "tokens.max_length=32",
    "network.embedding_size=4",
    "network.buckets=50",
    "training.epochs=2",
]


def choices(*values):
    return CategoricalDistribution([json.dumps(value) for value in values])


SPACE = {
    "network.units": choices(2, 4, 8),
    "training.learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
}


class Search:
    """Runs searches over a small corpus, and keeps what it was told."""

    def __init__(self, languages):
        self.corpora = Corpora(languages / "test.csv", languages / "validation.csv")
        self.ended, self.started = [], []
        self.on_progress = lambda _: None

    def on_trial(self, trial):
        (self.started if trial.state == "running" else self.ended).append(trial)

    def __call__(self, out, *, space=SPACE, trials=2, seconds=None, settings=(), resume=False):
        return tune(
            self.corpora,
            out,
            config.load(assignments=[*BASE, *settings]),
            space,
            SearchLimits(trials, seconds),
            lambda: nullcontext(StopAtBadRows()),
            Callbacks(self.on_progress, self.on_trial),
            resume=resume,
        )


@pytest.fixture
def search(languages):
    return Search(languages)


@pytest.fixture(scope="module")
def found(languages, tmp_path_factory):
    """A search of three trials. Not to be changed by a test."""
    search = Search(languages)
    return search(tmp_path_factory.mktemp("tune") / "search", trials=3), search.ended


def figures(trials):
    return [(t.number, t.state, t.value, t.settings, t.epochs, t.reason) for t in trials]


def contents(folder):
    names = ("onnx/model.onnx", "tokenizer.json", "config.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_best_model_and_its_settings_are_kept(found):
    search, told = found
    assert figures(search.trials) == figures(told)
    assert [trial.number for trial in search.trials] == [1, 2, 3]
    assert search.metric == "accuracy"
    assert search.best.value == max(trial.value for trial in search.trials)
    folder = search.folder
    assert {path.name for path in folder.path.iterdir()} == {"best", "best.toml", "study.journal"}
    metrics = json.loads((folder.best / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["config"]["network"]["units"] == search.best.settings["network.units"]
    assert metrics["test"] is None
    assert gatewise.load(folder.best).predict(["Wo ist der Bahnhof?"])
    json.dumps(search.as_dict())


def test_the_settings_train_the_same_model_again(found, languages, tmp_path):
    from gatewise.training.pipeline import train

    folder = found[0].folder
    corpora = Corpora(languages / "test.csv", languages / "validation.csv")
    best = config.load(folder.config)
    train(corpora, tmp_path / "model", best, StopAtBadRows(), lambda _: None)
    assert contents(tmp_path / "model") == contents(folder.best)


def test_an_interrupted_search_goes_on_to_the_same_end(found, search, tmp_path):
    def interrupt(progress):
        if len(search.started) == 2 and isinstance(progress, Progress) and progress.step > 3:
            raise KeyboardInterrupt

    search.on_progress = interrupt
    out = tmp_path / "search"
    with pytest.raises(KeyboardInterrupt):
        search(out, trials=3)
    assert [path.name for path in SearchFolder(out).trials.iterdir()] == ["2.run"]
    with pytest.raises(SearchError, match=r"holds a search that reached trial 1: resume it"):
        search(out, trials=3)
    search.on_progress = lambda _: None
    resumed = search(out, trials=3, resume=True)
    assert figures(resumed.trials) == figures(found[0].trials)
    assert contents(resumed.folder.best) == contents(found[0].folder.best)
    assert [trial.number for trial in search.started] == [1, 2, 2, 3]
    assert not resumed.folder.trials.exists()


def test_a_search_goes_on_with_what_it_was_begun_with(search, tmp_path):
    out = tmp_path / "search"
    search(out, trials=1)
    with pytest.raises(SearchError, match=r"another value of training.batch_size: 64, not 8"):
        search(out, settings=["training.batch_size=8"], resume=True)
    space = {"network.units": choices(2, 4, 9)}
    with pytest.raises(SearchError, match=r"network.units in the space: \[2, 4, 8\], not"):
        search(out, space=space, resume=True)
    before = contents(SearchFolder(out).best)
    assert len(search(out, trials=1, resume=True).trials) == 1
    assert contents(SearchFolder(out).best) == before


def test_impossible_combinations_cost_no_trial(search, tmp_path):
    space = {"network.cell": choices("rnn", "lstm"), "network.reset_after": choices(True, False)}
    result = search(tmp_path / "search", space=space, trials=9)
    trained = [trial for trial in result.trials if trial.was_trained]
    assert {trial.settings["network.cell"] for trial in trained} == {"rnn", "lstm"}
    assert len(trained) == 2, "there are no more that make sense, so it ended"
    impossible = [trial for trial in result.trials if trial.state == "pruned"]
    assert impossible
    assert all("which only a GRU has" in trial.reason for trial in impossible)


def test_a_trial_that_fails_does_not_end_the_search(search, tmp_path):
    space = {"training.learning_rate": choices(1e38, 1e-2)}
    result = search(tmp_path / "search", space=space, settings=["training.epochs=1"])
    by_state = {trial.state: trial for trial in result.trials if trial.was_trained}
    assert set(by_state) == {"failed", "complete"}
    assert result.best.settings == {"training.learning_rate": 1e-2}
    assert by_state["failed"].reason


def test_a_search_without_any_model_tells_why(search, tmp_path):
    space = {"training.learning_rate": choices(1e38)}
    with pytest.raises(SearchError, match=r"none of \d+ trials has a model; .*: failed: "):
        search(tmp_path / "search", space=space, trials=1)


def test_a_time_budget_stops_the_trial_under_way(search, tmp_path):
    out = tmp_path / "search"
    with pytest.raises(SearchError, match="time budget was spent before a trial"):
        search(out, seconds=0)
    assert [trial.state for trial in search.ended] == ["stopped"]
    resumed = search(out, trials=1, seconds=1e6, resume=True)
    assert [trial.number for trial in resumed.trials] == [1]


def test_a_hopeless_trial_is_given_up(search, tmp_path, monkeypatch):
    monkeypatch.setattr(Suggestion, "is_hopeless", lambda trial: trial.number == 1)
    result = search(tmp_path / "search")
    first, second = result.trials
    assert (first.state, first.epochs, second.state) == ("pruned", 1, "complete")
    assert first.reason == "worse at epoch 1 than the median of the others"
    assert result.best == second


def test_a_bad_corpus_ends_the_search_and_leaves_nothing_in_the_way(search, tmp_path):
    good, out = search.corpora, tmp_path / "search"
    search.corpora = Corpora(tmp_path / "nowhere.csv")
    with pytest.raises(CorpusError, match=r"nowhere.csv"):
        search(out)
    search.corpora = good
    assert search(out, trials=1, settings=["training.epochs=1"]).best.number == 1


def test_another_folder_is_left_alone(search, tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SearchError, match=r"holds 'mine.txt': name another folder"):
        search(tmp_path)
    with pytest.raises(SearchError, match="it is a file"):
        search(tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_loss_is_the_smaller_the_better(search, tmp_path):
    settings = ["training.metric=loss", "training.epochs=1"]
    result = search(tmp_path / "search", settings=settings)
    assert result.metric == "loss"
    assert result.best.value == min(trial.value for trial in result.trials)


def test_the_default_space_can_be_searched(search, tmp_path):
    space = search_space.load(None, config.load(assignments=BASE))
    assert search(tmp_path / "search", space=space, trials=1).best.number == 1
