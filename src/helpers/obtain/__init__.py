"""Obtain (01): sources, downloads, folders, images as arrays, splits."""
