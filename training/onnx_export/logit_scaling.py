"""Multiplies the logits of an ONNX network by a factor and shifts them, in its weights.

Inference then has nothing more to compute.
"""

import numpy as np
import onnx
from onnx import numpy_helper


def scale_logits(model: onnx.ModelProto, factor: float, shift: float = 0.0) -> onnx.ModelProto:
    """The same network with every logit multiplied by a factor, and a shift added to it then.

    Args:
        model: From `gatewise.training.onnx_export.keras_to_onnx`.
        factor: The factor, above zero, so that the order of a text's logits stays.
        shift: The shift.
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
