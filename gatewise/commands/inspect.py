"""`gatewise inspect`: what is in a model folder."""

from gatewise import options


def inspect(model: options.Model, as_json: options.AsJson = False) -> None:
    """Tell what is in a model folder."""
    from gatewise.console import show_artifact
    from service import artifact

    show_artifact(artifact.load(model), as_json=as_json)
