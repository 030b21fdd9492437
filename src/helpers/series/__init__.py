"""Every notebook's run: stages, parameters, manifests, locks, the sealed test set."""
