"""Teachers: larger models that label the training texts and changed copies of them.

The only package that imports PyTorch and transformers.
"""
