"""Figures in one style: each function takes arrays or tables and returns a matplotlib figure."""
