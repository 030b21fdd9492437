"""Serving (11): the REST service."""
