"""ImageNet backbones and their weights."""
