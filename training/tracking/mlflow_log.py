"""A run of an MLflow tracking server, logged epoch by epoch."""

import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

# MLflow reads these when it is imported: no telemetry, and an error at once, not after minutes, if
# the server does not answer.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

# A folder's database needs SQLAlchemy, which MLflow does not install: fail here if it is missing.
import sqlalchemy  # noqa: F401 — see above
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from gatewise.training.config.config import Config
from gatewise.training.tracking.track import TrackingError
from gatewise.vocab.errors import GatewiseError, first_line

_EXPERIMENT = "gatewise"
# A resumed run is found by this tag.
_RUN_TAG = "gatewise.run"
_MODEL_TAG = "gatewise.model"
_MAX_PARAMETERS = 100
"""Parameters that MLflow accepts in one call."""

_PLACES = {"training": {"tensorboard", "mlflow"}}
"""Settings of where a run is logged, which are no parameters of the run."""


class MlflowLog:
    """A run of an MLflow tracking server, or of a database in a folder.

    With `resume` it continues an unfinished run of the same model folder.
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
                f"training.mlflow={self._place}: cannot be written to: "
                f"{without_secret(first_line(error))}"
            ) from None

    def __str__(self) -> str:
        """The address or folder."""
        return self._place

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of an epoch, unless they are logged already."""
        if number > self._last:
            self._log(metrics, number)
            self._last = number

    def ended(self, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of a finished run."""
        self._log({f"final_{name}": value for name, value in metrics.items()}, self._last)

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
                logged = client.get_metric_history(run, "loss")
                self._last = max((metric.step for metric in logged), default=0)
                return run
        tags = {_RUN_TAG: key, _MODEL_TAG: str(out)}
        run = str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        parameters = [
            Param(f"{section}.{setting}", str(value))
            for section, settings in config.model_dump(mode="json", exclude=_PLACES).items()
            for setting, value in settings.items()
        ]
        for first in range(0, len(parameters), _MAX_PARAMETERS):
            client.log_batch(run, params=parameters[first : first + _MAX_PARAMETERS])
        return run

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        # A number to predict may have any name.
        batch = [
            Metric(re.sub(r"[^\w.\-/ ]", "_", name), value, now, step)
            for name, value in metrics.items()
        ]
        self._client.log_batch(self._run, metrics=batch)


def without_secret(text: str) -> str:
    """The text without user names and passwords in its addresses.

    >>> without_secret("https://me:secret@runs.example.org/path")
    'https://runs.example.org/path'
    """
    return re.sub(r"(://)[^/@\s]*@", r"\1", text)


def _address(place: str) -> str:
    """The tracking URI of an address or a folder."""
    if "://" in place or place == "databricks":
        return place
    folder = Path(place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"
