"""The errors of the model folder and of answering. Knows nothing of HTTP statuses."""

from gatewise.vocab.errors import GatewiseError


class ModelFolderError(GatewiseError):
    """A folder that is damaged, foreign, or made for another version; the message says which."""


class NetworkError(GatewiseError):
    """An ONNX file that is none of Gatewise's, or that asks too much; the message says why."""
