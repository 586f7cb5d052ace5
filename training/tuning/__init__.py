"""Hyperparameter search: the search space, the trials and the folder that holds them."""
