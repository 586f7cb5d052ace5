"""The networks of a model folder, checked before anything is given to onnxruntime."""

from collections.abc import Mapping

from gatewise.service.model.errors import ModelFolderError, NetworkError
from gatewise.service.model.model_config import Manifest, ModelConfig, ModelFolder
from gatewise.service.model.onnx_validation import onnx_parser, operator_allowlist
from gatewise.service.model.onnx_validation.parsed_network import OPSET, ParsedNetwork


def check(
    folder: ModelFolder, documents: Mapping[str, bytes], manifest: Manifest, config: ModelConfig
) -> None:
    """Looks at every network of a folder, whichever is asked afterwards.

    The one that takes texts as they are is not among them: no classifier ever loads it.

    Args:
        folder: The folder, for messages.
        documents: The contents of every file that its manifest lists, by name.
        manifest: What its manifest says of the networks.
        config: What its config says of the classes.

    Raises:
        ModelFolderError: If a network is none that Gatewise would have written.
    """
    if manifest.opset != OPSET:
        raise ModelFolderError(f"{folder.manifest}: expected opset {OPSET}, found {manifest.opset}")
    found: set[str] = set()
    for name, contents in documents.items():
        if name.endswith(folder.model.suffix) and name != folder.name_of(folder.text_model):
            try:
                network = _checked(contents, config, is_step=name == folder.name_of(folder.step))
            except NetworkError as error:
                raise ModelFolderError(f"{folder.path / name}: {error}") from None
            found |= network.operators
    if tuple(sorted(found)) != manifest.operators:
        wrong = min(found.symmetric_difference(manifest.operators), default="their order")
        raise ModelFolderError(
            f"{folder.manifest}: its operators are not those of the networks: see {wrong}"
        )


def _checked(contents: bytes, config: ModelConfig, *, is_step: bool) -> ParsedNetwork:
    network = onnx_parser.read_step(contents) if is_step else onnx_parser.read(contents)
    operator_allowlist.check(network)
    classes = len(config.id2label)
    if network.ends.classes not in (None, classes):
        raise NetworkError(
            f"expected logits of {classes} classes by config.json, found {network.ends.classes}"
        )
    return network
