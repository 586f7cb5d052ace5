"""Multiplies the logits of an ONNX network by factors and shifts them, in its weights.

Inference then has nothing more to compute.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def scale_logits(
    model: onnx.ModelProto,
    factor: float | NDArray[np.float64],
    shift: float | NDArray[np.float64] = 0.0,
) -> onnx.ModelProto:
    """The same network with every logit multiplied by a factor, and a shift added to it then.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
        factor: The factor, above zero, so that the order of a text's logits stays; or that of each
            logit, `(classes,)`.
        shift: The shift, or that of each logit.
    """
    scaled = onnx.ModelProto()
    scaled.CopyFrom(model)
    constants = {constant.name: constant for constant in scaled.graph.initializer}
    # The last weights of each path, in which the logits are linear.
    ngrams = "ngrams.kernel" if "ngrams.kernel" in constants else "ngrams.weight"
    for name in constants.keys() & {"classifier.weight", "classifier.bias", ngrams}:
        value = numpy_helper.to_array(constants[name])
        # In 64 bits, so that it is rounded once.
        product = value.astype(np.float64) * factor
        if name == "classifier.bias":
            product += shift
        constants[name].CopyFrom(numpy_helper.from_array(product.astype(value.dtype), name))
    return scaled
