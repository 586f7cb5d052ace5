"""Export from Keras to ONNX, written directly as plain operators."""
