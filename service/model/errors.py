"""The errors of reading a model folder and of running its networks."""

from gatewise.vocab.errors import GatewiseError


class ModelFolderError(GatewiseError):
    """A model folder that is damaged, foreign or of another version, or a network that fails."""


class NetworkError(GatewiseError):
    """An ONNX file that Gatewise would not have written."""
