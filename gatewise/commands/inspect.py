"""`gatewise inspect`: what is in a model folder."""

from gatewise import options


def inspect(model: options.Model, as_json: options.AsJson = False) -> None:
    """Tell what is in a model folder."""
    from gatewise.console.console import show_artifact
    from gatewise.service.model.model_folder import read_model_folder

    show_artifact(read_model_folder(model), as_json=as_json)
