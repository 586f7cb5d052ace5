"""A model for devices: smaller networks, the folder that an app carries, and its proof."""
