"""Models for devices: smaller networks, one file with the tokenizer, and a folder for apps."""
