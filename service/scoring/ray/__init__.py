"""Scoring on a Ray cluster."""

import gatewise.service.ray_cluster  # noqa: F401 — before Ray
