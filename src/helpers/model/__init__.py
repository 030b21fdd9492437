"""Model (04, 05, 06, 09): networks and how they are trained."""
