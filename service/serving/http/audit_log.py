"""The audit log: who changed which model, and what came of it."""

import logging

from gatewise.service.serving.http.middleware.access_log import log_fields
from gatewise.service.serving.model_registry import Change, Changes

_log = logging.getLogger("gatewise.audit")


def record(
    change: Change,
    result: Changes | Exception,
    *,
    by: str,
    client: str = "",
    request_id: str = "",
) -> None:
    """Logs a change of a model.

    Args:
        change: The change.
        result: What it did, or the reason why it was refused.
        by: The name of the API key, or `SIGHUP` or `watch`.
        client: The address of the client, if a request made the change.
        request_id: The id of the request.
    """
    fields: dict[str, object] = {"audit": change.action, "by": by, "model": change.model}
    if client or request_id:
        fields |= {"client": client, "request_id": request_id}
    if change.version:
        fields["version"] = change.version
    if change.action == "share":
        fields["shares"] = None if change.shares is None else dict(change.shares)
    if isinstance(result, Changes):
        for name in ("loaded", "unloaded", "failed"):
            if found := getattr(result, name):
                fields[name] = dict(found) if name == "failed" else list(found)
    else:
        fields["refused"] = str(result)
    log_fields(_log, fields)
