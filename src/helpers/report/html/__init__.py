"""Notebooks and pages as HTML that opens offline."""
