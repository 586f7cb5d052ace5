import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

import gatewise
from gatewise.training import pipeline
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.fit.fit import DivergedError
from gatewise.training.fit.progress import Epoch, Finding, Progress
from gatewise.training.tuning import search_space
from gatewise.training.tuning.hyperparameter_search import Callbacks, SearchLimits, tune
from gatewise.training.tuning.search_folder import SearchFolder
from gatewise.training.tuning.study import SearchError, SuggestedTrial
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError

BASE = [
    "tokens.unit=character",
    "tokens.max_length=32",
    "network.embedding_size=4",
    "network.buckets=50",
    "training.epochs=2",
    "training.linear_path=descended",
]


def choices(*values):
    return CategoricalDistribution([json.dumps(value) for value in values])


SPACE = {
    "network.units": choices(2, 4, 8),
    "training.learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
}


class Search:
    """Runs searches over a small corpus, and records their trials."""

    def __init__(self, languages):
        # Validation rows are held out, so that the network is trained again on all rows.
        self.corpora = Corpora(languages / "test.csv")
        self.ended, self.started, self.findings = [], [], []
        self.on_progress = self.collect

    def collect(self, progress):
        if isinstance(progress, Finding):
            self.findings.append(progress.message)

    def on_trial(self, trial):
        (self.started if trial.state == "running" else self.ended).append(trial)

    def __call__(
        self, out, *, space=SPACE, trials=2, seconds=None, settings=(), folds=1, resume=False
    ):
        return tune(
            self.corpora,
            out,
            config.load(assignments=[*BASE, *settings]),
            space,
            SearchLimits(trials, seconds, folds),
            lambda: nullcontext(StopAtBadRows()),
            Callbacks(self.on_progress, self.on_trial),
            resume=resume,
        )


@pytest.fixture
def search(languages):
    return Search(languages)


@pytest.fixture(scope="module")
def found(languages, tmp_path_factory):
    """A search of two trials. Not to be changed by a test."""
    search = Search(languages)
    return search(tmp_path_factory.mktemp("tune") / "search"), search


@pytest.fixture
def stub(monkeypatch, trained):
    """Replaces training: two epochs whose metric is the number of units, and a small file."""

    def train(corpora, out, settings, bad_rows, on_progress, *, resume, is_trial):
        if settings.training.learning_rate == 1e38:
            raise DivergedError("the cost diverges")
        epochs = [Epoch(n, n, 1.0, 1.0, settings.network.units, 0.01) for n in (1, 2)]
        for epoch in epochs:
            on_progress(Progress(epoch.number, 2, epoch, settings.training.metric))
        out.mkdir(parents=True)
        (out / "units").write_text(str(settings.network.units))
        run = replace(trained[0], fitted=replace(trained[0].fitted, best=epochs[-1]))
        return SimpleNamespace(run=run)

    monkeypatch.setattr(pipeline, "train", train)


def results(trials):
    return [(t.number, t.state, t.value, t.settings, t.epochs, t.reason) for t in trials]


def contents(folder):
    names = ("onnx/model.onnx", "tokenizer.json", "config.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_best_model_is_kept_and_its_settings_train_it_again(found, tmp_path):
    search, recorded = found
    assert results(search.trials) == results(recorded.ended)
    assert [trial.number for trial in search.trials] == [1, 2]
    assert search.metric == "accuracy"
    assert search.best.value == max(trial.value for trial in search.trials)
    folder = search.folder
    assert {path.name for path in folder.path.iterdir()} == {"best", "best.toml", "study.journal"}
    metrics = json.loads((folder.best / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["config"]["network"]["units"] == search.best.settings["network.units"]
    assert metrics["test"] is None
    # The model of the best trial alone is trained again, and compared with baselines.
    assert metrics["refit_rows"] > metrics["rows"]
    assert metrics["baselines"]["linear"]["accuracy"] > 0.5
    assert sum("trained again" in finding for finding in recorded.findings) == 1
    assert gatewise.load(folder.best).predict(["Wo ist der Bahnhof?"])
    json.dumps(search.as_dict())
    best = config.load(folder.config)
    pipeline.train(recorded.corpora, tmp_path / "model", best, StopAtBadRows(), lambda _: None)
    assert contents(tmp_path / "model") == contents(folder.best)


def test_an_interrupted_search_resumes_to_the_same_end(found, search, tmp_path):
    def interrupt(progress):
        if len(search.started) == 2 and isinstance(progress, Progress) and progress.step > 3:
            raise KeyboardInterrupt

    def interrupt_at_the_end(progress):
        if len(search.ended) == 2 and isinstance(progress, Progress) and progress.step > 3:
            raise KeyboardInterrupt

    search.on_progress = interrupt
    out = tmp_path / "search"
    with pytest.raises(KeyboardInterrupt):
        search(out)
    assert {path.name for path in SearchFolder(out).trials.iterdir()} == {"1.run", "2.run"}
    with pytest.raises(SearchError, match=r"holds a search that reached trial 1: resume it"):
        search(out)
    search.on_progress = interrupt_at_the_end
    with pytest.raises(KeyboardInterrupt):
        search(out, resume=True)
    search.on_progress = search.collect
    resumed = search(out, resume=True)
    assert results(resumed.trials) == results(found[0].trials)
    assert contents(resumed.folder.best) == contents(found[0].folder.best)
    assert [trial.number for trial in search.started] == [1, 2, 2]
    assert not resumed.folder.trials.exists()


def test_few_rows_are_cross_validated(search, tmp_path):
    space = {"network.units": choices(2)}
    result = search(tmp_path / "search", space=space, trials=1, folds=2)
    base = [*BASE, "network.units=2", "training.refit=false"]
    folds = [
        pipeline.train(
            search.corpora,
            tmp_path / str(fold),
            config.load(assignments=[*base, f"corpus.fold={fold}"]),
            StopAtBadRows(),
            lambda _: None,
            with_report=False,
        ).run.fitted.best.metric
        for fold in (0, 1)
    ]
    assert result.best.value == pytest.approx(sum(folds) / 2)
    # The model is that of the first fold, trained again.
    metrics = json.loads((result.folder.best / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["config"]["corpus"]["fold"] == 0
    assert metrics["refit_rows"] > metrics["rows"]


@pytest.mark.parametrize(("folds", "count"), [(None, 5), (1, 1), (3, 3)])
def test_the_folds_are_those_of_the_limits_or_follow_from_the_rows(
    search, tmp_path, monkeypatch, trained, folds, count
):
    run, held_out = trained[0], []

    def train(corpora, out, settings, bad_rows, on_progress, **_):
        held_out.append(settings.corpus.fold)
        out.mkdir(parents=True)
        return SimpleNamespace(run=run)

    monkeypatch.setattr(pipeline, "train", train)
    search(tmp_path / "search", trials=1, folds=folds)
    assert held_out == list(range(count))


@pytest.mark.usefixtures("stub")
def test_of_numbers_the_least_error_is_the_best(search, numbers_corpus, tmp_path):
    search.corpora = Corpora(numbers_corpus / "train.csv")
    found = search(tmp_path / "search", trials=4)
    assert found.metric == "rmse"
    assert len({trial.value for trial in found.trials}) > 1
    assert found.best.value == min(trial.value for trial in found.trials)


def test_folds_need_rows_that_are_held_out(search, languages, tmp_path):
    search.corpora = Corpora(languages / "test.csv", languages / "validation.csv")
    with pytest.raises(SearchError, match="folds: expected validation rows held out"):
        search(tmp_path / "search", folds=2)


@pytest.mark.usefixtures("stub")
def test_a_search_is_resumed_with_the_same_settings_only(search, tmp_path):
    out = tmp_path / "search"
    search(out, trials=1)
    with pytest.raises(SearchError, match=r"another value of training.batch_size: 64, not 8"):
        search(out, settings=["training.batch_size=8"], resume=True)
    space = {"network.units": choices(2, 4, 9)}
    with pytest.raises(SearchError, match=r"network.units in the space: \[2, 4, 8\], not"):
        search(out, space=space, resume=True)
    assert len(search(out, trials=1, resume=True).trials) == 1


@pytest.mark.usefixtures("stub")
def test_impossible_combinations_cost_no_trial(search, tmp_path):
    space = {"network.cell": choices("rnn", "lstm"), "network.reset_after": choices(True, False)}
    result = search(tmp_path / "search", space=space, trials=9)
    trained = [trial for trial in result.trials if trial.was_trained]
    assert {trial.settings["network.cell"] for trial in trained} == {"rnn", "lstm"}
    assert len(trained) == 2, "there are no more that make sense, so it ended"
    impossible = [trial for trial in result.trials if trial.state == "pruned"]
    assert impossible
    assert all("which only a GRU has" in trial.reason for trial in impossible)


@pytest.mark.usefixtures("stub")
def test_a_trial_that_fails_does_not_end_the_search(search, tmp_path):
    space = {"training.learning_rate": choices(1e38, 1e-2)}
    result = search(tmp_path / "search", space=space)
    by_state = {trial.state: trial for trial in result.trials if trial.was_trained}
    assert set(by_state) == {"failed", "complete"}
    assert result.best.settings == {"training.learning_rate": 1e-2}
    assert by_state["failed"].reason == "the cost diverges"
    space = {"training.learning_rate": choices(1e38)}
    with pytest.raises(SearchError, match=r"none of \d+ trials has a model; .*: failed: the cost"):
        search(tmp_path / "none", space=space, trials=1)


@pytest.mark.usefixtures("stub")
def test_a_time_budget_stops_the_trial_in_progress(search, tmp_path):
    out = tmp_path / "search"
    with pytest.raises(SearchError, match="time budget was spent before a trial"):
        search(out, seconds=0)
    assert [trial.state for trial in search.ended] == ["stopped"]
    resumed = search(out, trials=1, seconds=1e6, resume=True)
    assert [trial.number for trial in resumed.trials] == [1]


@pytest.mark.usefixtures("stub")
def test_a_hopeless_trial_is_stopped(search, tmp_path, monkeypatch):
    monkeypatch.setattr(SuggestedTrial, "is_hopeless", lambda trial: trial.number == 1)
    result = search(tmp_path / "search")
    first, second = result.trials
    assert (first.state, first.epochs, second.state) == ("pruned", 1, "complete")
    assert first.reason == "worse at epoch 1 than the median of the others"
    assert result.best == second


def test_a_bad_corpus_ends_the_search_and_leaves_nothing_in_the_way(search, tmp_path):
    search.corpora = Corpora(tmp_path / "nowhere.csv")
    with pytest.raises(CorpusError, match=r"nowhere.csv"):
        search(tmp_path / "search")
    # Another search may use the folder.
    search.corpora = Corpora(tmp_path / "elsewhere.csv")
    with pytest.raises(CorpusError, match=r"elsewhere.csv"):
        search(tmp_path / "search", settings=["training.epochs=1"])


def test_another_folder_is_left_alone(search, tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SearchError, match=r"holds 'mine.txt': name another folder"):
        search(tmp_path)
    with pytest.raises(SearchError, match="it is a file"):
        search(tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("stub")
def test_a_smaller_loss_is_better(search, tmp_path):
    result = search(tmp_path / "search", settings=["training.metric=loss"])
    assert result.metric == "loss"
    assert result.best.value == min(trial.value for trial in result.trials)
    assert (result.folder.best / "units").read_text() == str(result.best.settings["network.units"])


@pytest.mark.usefixtures("stub")
def test_the_default_space_can_be_searched(search, tmp_path):
    space = search_space.load(None, config.load(assignments=BASE))
    assert len(search(tmp_path / "search", space=space, trials=5).trials) == 5
