"""The service on a Ray cluster: the only part of Gatewise that imports Ray."""

import os

# Ray reads these when it is imported. It else tells its maker how it is used, writes one line for
# several that are alike, so that a log would lack requests, colours what no terminal shows, and has
# a traceback for each replica that does not start; the latter is then in its own files alone.
for _name, _value in (
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("RAY_DEDUP_LOGS", "0"),
    ("RAY_COLOR_PREFIX", "0"),
    ("RAY_SERVE_LOG_TO_STDERR", "0"),
):
    os.environ.setdefault(_name, _value)
