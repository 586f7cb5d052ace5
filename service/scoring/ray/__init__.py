"""The service on a Ray cluster: the only part of Gatewise that imports Ray."""

import os

# Ray reads these when it is imported. It else tells its maker how it is used, writes one line for
# several that are alike, so that a log would lack requests, puts a name before what is a line of
# JSON, and has a traceback for each replica that does not start, which is then in its own files.
for _name, _value in (
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("RAY_DEDUP_LOGS", "0"),
    ("RAY_DISABLE_WORKER_LOG_PREFIX", "1"),
    ("RAY_SERVE_LOG_TO_STDERR", "0"),
):
    os.environ.setdefault(_name, _value)
