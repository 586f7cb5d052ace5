"""Checks of ONNX networks, made on their bytes before onnxruntime loads them."""
