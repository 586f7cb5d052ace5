"""`gatewise inspect`: the contents of a model folder."""

from gatewise import command_options


def inspect(model: command_options.Model, as_json: command_options.AsJson = False) -> None:
    """Show the contents of a model folder."""
    from gatewise.console.training_console import show_artifact
    from gatewise.service.model.model_folder import read_model_folder

    show_artifact(read_model_folder(model), as_json=as_json)
