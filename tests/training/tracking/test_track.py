import logging
import sys
from dataclasses import replace
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.config.config import Config
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.fit.progress import Epoch, Finding, Progress
from gatewise.training.tracking.track import Tracker, TrackingError, tracking
from gatewise.training.workspace import workspace_of
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError

# MLflow's own queries, with the SQLAlchemy that it takes.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

SMALL = [
    "tokens.unit=character",
    "tokens.max_length=16",
    "network.units=2",
    "network.embedding_size=2",
    "network.buckets=10",
    "training.epochs=2",
]


def curves(folder):
    """What TensorBoard shows of a folder: `{name: [(step, value), …]}`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def runs(folder):
    """The runs in a folder's database, oldest first, and a client to ask about them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("gatewise")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return client, found


def settings(tmp_path, *more):
    folder = tmp_path / "mlflow"
    return config.load(assignments=[f"training.mlflow={folder}", *more]), folder


def ended(number, metric="accuracy"):
    epoch = Epoch(number, number * 10, 1.0 / number, 2.0 / number, number / 10, 0.01)
    return Progress(number * 10, 100, epoch, metric)


def test_a_run_is_logged_to_both(languages, tmp_path):
    from gatewise.training.pipeline import train

    places = [f"training.mlflow={tmp_path / 'm'}", f"training.tensorboard={tmp_path / 't'}"]
    run_config = config.load(assignments=[*SMALL, *places])
    corpora = Corpora(languages / "validation.csv", languages / "test.csv", languages / "test.csv")
    out, events = tmp_path / "model", []
    with tracking(run_config, out) as track:
        on_progress = track.also(events.append)
        run = train(corpora, out, run_config, StopAtBadRows(), on_progress).run
        track.ended(run)
    assert track.trouble is None
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.epoch for event in progress if event.epoch] == list(run.fitted.epochs)
    shown = curves(tmp_path / "t" / "model")
    assert set(shown) == {"loss", "validation_loss", "validation_accuracy", "learning_rate"}
    expected = [(epoch.number, epoch.validation_loss) for epoch in run.fitted.epochs]
    assert shown["validation_loss"] == [(step, pytest.approx(value)) for step, value in expected]
    client, (found,) = runs(tmp_path / "m")
    assert (found.info.run_name, found.info.status) == ("model", "FINISHED")
    assert found.data.params["network.units"] == "2"
    assert found.data.params["training.seed"] == "1"
    assert "training.mlflow" not in found.data.params
    assert found.data.tags["gatewise.model"] == str(out)
    assert found.data.metrics["final_test_accuracy"] == run.test.accuracy
    assert found.data.metrics["final_best_epoch"] == run.fitted.best.number
    history = client.get_metric_history(found.info.run_id, "validation_accuracy")
    assert [(m.step, m.value) for m in history] == [(e.number, e.metric) for e in run.fitted.epochs]


def test_each_of_several_numbers_has_its_metrics(trained, tmp_path):
    run_config, folder = settings(tmp_path)
    numbers = np.arange(12.0).reshape(6, 2)
    report = RegressionReport.of(["price (€)", "age"], numbers, numbers + np.array([1, 2]))
    with tracking(run_config, tmp_path / "model") as track:
        track.ended(replace(trained[0], validation=report, test=None))
    assert track.trouble is None
    metrics = runs(folder)[1][0].data.metrics
    assert metrics["final_validation/age_rmse"] == 2
    assert metrics["final_validation/price ____mae"] == 1
    assert metrics["final_validation_rmse"] == report.rmse


def test_nothing_is_logged_by_default(tmp_path):
    with tracking(Config(), tmp_path / "model") as track:
        track.also(lambda _: None)(ended(1))
    assert not list(tmp_path.iterdir())


def test_a_loss_is_not_logged_twice(tmp_path):
    run_config = config.load(assignments=[f"training.tensorboard={tmp_path / 'logs'}"])
    with tracking(run_config, tmp_path / "model") as track:
        track.also(lambda _: None)(ended(1, "loss"))
    assert set(curves(tmp_path / "logs" / "model")) == {"loss", "validation_loss", "learning_rate"}


def test_epochs_logged_again_replace_the_first(tmp_path):
    run_config = config.load(assignments=[f"training.tensorboard={tmp_path / 'logs'}"])
    for first in (1, 2):
        with tracking(run_config, tmp_path / "model", resume=first > 1) as track:
            for number in range(first, first + 2):
                track.also(lambda _: None)(ended(number))
    assert [step for step, _ in curves(tmp_path / "logs" / "model")["loss"]] == [1, 2, 3]


def test_a_resumed_run_is_the_same_one(tmp_path):
    run_config, folder = settings(tmp_path)
    out = tmp_path / "model"

    def stopped_after_two(progress):
        if progress.epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tracking(run_config, out) as track:
        list(map(track.also(stopped_after_two), (ended(1), ended(2))))
    assert [run.info.status for run in runs(folder)[1]] == ["KILLED"]
    workspace_of(out).path.mkdir()
    workspace_of(out).checkpoint.touch()
    with tracking(run_config, out, resume=True) as track:
        for number in (2, 3):
            track.also(lambda _: None)(ended(number))
    client, (found,) = runs(folder)
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert sorted(metric.step for metric in history) == [1, 2, 3]


@pytest.mark.parametrize(("resume", "checkpoint"), [(True, False), (False, True)])
def test_a_run_that_begins_anew_is_another_one(tmp_path, resume, checkpoint):
    run_config, folder = settings(tmp_path)
    out = tmp_path / "model"
    with pytest.raises(CorpusError), tracking(run_config, out):
        raise CorpusError("no rows")
    if checkpoint:
        workspace_of(out).path.mkdir()
        workspace_of(out).checkpoint.touch()
    with tracking(run_config, out, name="second", resume=resume):
        pass
    statuses = {run.info.run_name: run.info.status for run in runs(folder)[1]}
    assert statuses == {"model": "FAILED", "second": "FINISHED"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tensorboard=HERE/file", "tensorboard=HERE/file: cannot be "),
        ("mlflow=HERE/file", "mlflow=HERE/file: cannot be "),
        ("tensorboard=HERE", "tensorboard: .* is in the model folder"),
        ("mlflow=HERE/model", "mlflow: .* is in the model folder"),
        # The password is not in the message.
        ("mlflow=http://me:secret@127.0.0.1:9", "mlflow=http://127.0.0.1:9: cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, setting, message):
    (tmp_path / "file").touch()
    setting, message = (each.replace("HERE", str(tmp_path)) for each in (setting, message))
    run_config = config.load(assignments=[f"training.{setting}"])
    with (
        pytest.raises(TrackingError, match=rf"training\.{message}") as caught,
        tracking(run_config, tmp_path / "model"),
    ):
        pytest.fail("the run has begun")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value) + run_config.without_places().model_dump_json()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_log_that_fails_does_not_end_the_run():
    tracker, broken, working, seen = Tracker(), MagicMock(), Mock(), []
    broken.__str__.return_value = "http://server"
    broken.epoch.side_effect = ConnectionError("gone\naway")
    for log in (broken, working):
        tracker.add(log)
    progress = [ended(1), Progress(11, 100), Finding("flat"), ended(2)]
    list(map(tracker.also(seen.append), progress))
    tracker.close(None)
    assert seen == progress
    assert [call.args[0] for call in working.epoch.call_args_list] == [1, 2]
    working.close.assert_called_once_with(None)
    assert tracker.trouble == "http://server: stopped logging this run: gone"


@pytest.mark.parametrize("package", ["tensorboard", "mlflow"])
def test_a_missing_package_names_its_extra(tmp_path, monkeypatch, package, capsys):
    from gatewise.command_errors import exit_code_of

    # None makes an import fail as if the package were not installed.
    for name in [*sys.modules, package]:
        if name.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"gatewise.training.tracking.{package}_log", raising=False)
    run_config = config.load(assignments=[f"training.{package}={tmp_path / 'logs'}"])
    with (
        pytest.raises(ModuleNotFoundError) as caught,
        tracking(run_config, tmp_path / "model"),
    ):
        pytest.fail("the run has begun")
    assert exit_code_of(caught.value) == 1
    assert "pip install 'gatewise[tracking]'" in capsys.readouterr().err


def test_mlflow_says_nothing_of_its_own(tmp_path, capfd, caplog):
    run_config, folder = settings(tmp_path)
    with caplog.at_level(logging.INFO), tracking(run_config, tmp_path / "model"):
        pass
    assert (folder / "mlflow.db").exists()
    assert capfd.readouterr() == ("", "")
