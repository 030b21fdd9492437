"""How an image file becomes pixels."""
