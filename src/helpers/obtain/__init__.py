"""Obtain (01): sources, downloads, folders, pictures as arrays, splits."""
