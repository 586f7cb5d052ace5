"""The lines of the log: on standard error, as text or as JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from gatewise.service.serving.settings import Settings


class _Json(logging.Formatter):
    """A line of JSON for each record; what a record has as fields are fields of it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= fields
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Lets every logger write to standard error, or to another stream, as the settings say."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _Json()
        if settings.log_format == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    if settings.log_level == "info":
        # Its lines on each step of starting and stopping say nothing that ours does not, and a
        # client that speaks no HTTP could fill the log with them.
        for name in ("uvicorn.error", "uvicorn"):
            logging.getLogger(name).setLevel(logging.WARNING)
