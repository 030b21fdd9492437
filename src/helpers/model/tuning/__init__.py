"""Hyperparameter search: spaces (what), sampler (how), study (the trials), storage (where), gain and conclusions."""
