"""Scrub (03): augmentation."""
