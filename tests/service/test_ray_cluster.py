"""What Ray's variables are, whichever part of the service starts it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(
    "module", ["scoring.ray.score_folder", "serving.ray.serve_on_ray", "serving.ray.replica"]
)
def test_ray_sends_no_statistics_and_drops_no_log_lines(module):
    program = f"""
import gatewise.service.{module}
from ray._common.usage import usage_lib
from ray._private import ray_logging
print(usage_lib.usage_stats_enabled(), ray_logging.RAY_DEDUP_LOGS)
"""
    environment = {name: one for name, one in os.environ.items() if not name.startswith("RAY_")}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert answer.stdout == "False False\n"
