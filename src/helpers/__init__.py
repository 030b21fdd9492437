"""Helpers shared by the OSEMN Vision notebooks; importing this package imports nothing else."""
