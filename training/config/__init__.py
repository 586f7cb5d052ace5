"""The sections of a run's config, one module each: every setting, its default and its meaning."""
