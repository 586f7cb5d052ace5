"""The service under Ray Serve."""

import gatewise.service.ray_cluster  # noqa: F401 — before Ray
