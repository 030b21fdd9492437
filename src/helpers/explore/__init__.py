"""Explore (02, 00): statistics and plots of the training part."""
