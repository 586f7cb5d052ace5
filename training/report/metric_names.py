"""Names of metrics as reports, model cards and the console write them."""

_NAMES = {"macro_f1": "macro F1", "micro_f1": "micro F1", "rmse": "RMSE", "mae": "MAE"}


def metric_name(metric: str) -> str:
    """The name of a metric as people write it.

    Args:
        metric: The metric as `training.metric` names it.

    >>> metric_name("macro_f1"), metric_name("loss")
    ('macro F1', 'loss')
    """
    return _NAMES.get(metric, metric)
