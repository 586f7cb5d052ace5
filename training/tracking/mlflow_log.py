"""A run of an MLflow tracking server, told as it goes. Knows figures by their names alone."""

import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

# MLflow reads these when it is imported. It would tell its makers of its use, and a server that
# does not answer is to be told of at once and not after minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

# A folder's database needs SQLAlchemy, which MLflow does not bring: it is missed here, at once.
import sqlalchemy  # noqa: F401 — as said above
from gatewise.training.config.config import Config
from gatewise.training.tracking.tracking_log import TrackingError, first_line
from gatewise.vocab.errors import GatewiseError
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

_EXPERIMENT = "gatewise"
# What a run that goes on is found by.
_RUN_TAG = "gatewise.run"
_MODEL_TAG = "gatewise.model"
_MOST_PARAMETERS = 100
"""Parameters that MLflow takes at once."""

_PLACES = {"training": {"tensorboard", "mlflow"}}
"""Settings that say where a run is told of, and nothing of the run."""


class MlflowLog:
    """A run of an MLflow tracking server, or of a database in a folder.

    Args:
        place: The server's address, or a folder.
        config: Every setting of the run.
        out: The model folder that it writes.
        name: What it is called.
        resume: Whether an earlier run of that model folder, not brought to its end, goes on.
    """

    def __init__(self, place: str, config: Config, out: Path, name: str, *, resume: bool) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._place, self._last = without_secret(place), 0
        try:
            self._client = MlflowClient(tracking_uri=_address(place))
            self._run = self._begin(config, out.resolve(), name, resume=resume)
        except Exception as error:
            raise TrackingError(
                f"training.mlflow={self._place}: cannot be told of the run: "
                f"{without_secret(first_line(error))}"
            ) from None

    def __str__(self) -> str:
        """Its place."""
        return self._place

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Takes the figures of an epoch, unless it was told them before."""
        if number > self._last:
            self._log(figures, number)
            self._last = number

    def ended(self, figures: Mapping[str, float]) -> None:
        """Takes the figures of a run that came to its end."""
        self._log({f"final_{name}": value for name, value in figures.items()}, self._last)

    def close(self, error: BaseException | None) -> None:
        """Ends the run: finished, failed, or killed if it was stopped from outside."""
        failed = "FAILED" if isinstance(error, GatewiseError) else "KILLED"
        self._client.set_terminated(self._run, "FINISHED" if error is None else failed)

    def _begin(self, config: Config, out: Path, name: str, *, resume: bool) -> str:
        client = self._client
        found = client.get_experiment_by_name(_EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(_EXPERIMENT)
        key = hashlib.sha256(os.fsencode(out)).hexdigest()
        if resume:
            wanted = f"tags.`{_RUN_TAG}` = '{key}' and attributes.status != 'FINISHED'"
            earlier = client.search_runs([experiment], wanted, max_results=1)
            if earlier:
                run = str(earlier[0].info.run_id)
                client.update_run(run, status="RUNNING")
                told = client.get_metric_history(run, "loss")
                self._last = max((metric.step for metric in told), default=0)
                return run
        tags = {_RUN_TAG: key, _MODEL_TAG: str(out)}
        run = str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        parameters = [
            Param(f"{section}.{setting}", str(value))
            for section, settings in config.model_dump(mode="json", exclude=_PLACES).items()
            for setting, value in settings.items()
        ]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            client.log_batch(run, params=parameters[first : first + _MOST_PARAMETERS])
        return run

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._run, metrics=metrics)


def without_secret(text: str) -> str:
    """A text whose addresses have no user name and no password.

    >>> without_secret("https://me:secret@runs.example.org/path")
    'https://runs.example.org/path'
    """
    return re.sub(r"(://)[^/@\s]*@", r"\1", text)


def _address(place: str) -> str:
    """The address of a place, which is one already or a folder."""
    if "://" in place or place == "databricks":
        return place
    folder = Path(place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"
