"""Scoring on a Ray cluster."""

import os

# Ray reads these when it is imported. They turn off usage statistics, the deduplication of similar
# log lines, the prefix of log lines, and the copy of the replicas' logs on standard error.
for _name, _value in (
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("RAY_DEDUP_LOGS", "0"),
    ("RAY_DISABLE_WORKER_LOG_PREFIX", "1"),
    ("RAY_SERVE_LOG_TO_STDERR", "0"),
):
    os.environ.setdefault(_name, _value)
