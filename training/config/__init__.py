"""The config of a run: a module for each section, with every setting, its default and meaning."""
