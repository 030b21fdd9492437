"""Report (12): the reviewer's report."""
