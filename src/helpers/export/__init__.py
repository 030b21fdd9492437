"""Export: a trained model in every format that is served, each proven equal in a process of its own."""
