"""The format of the log: lines of text or JSON on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from gatewise.service.serving.settings import Settings


class _Json(logging.Formatter):
    """Formats a record as a line of JSON; the `fields` of a record become members."""

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
    """Configures the log of this process, on standard error or another stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _Json()
        if settings.log_format == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.getLogger("gatewise.audit").setLevel(logging.INFO)  # at every level
    logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
    if settings.log_level == "info":
        # uvicorn's lines on starting and stopping repeat ours, and a client that does not speak
        # HTTP could fill the log with them.
        for name in ("uvicorn.error", "uvicorn"):
            logging.getLogger(name).setLevel(logging.WARNING)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is not the error that it logs for each refused WebSocket."""
    return "without completing handshake" not in record.getMessage()
