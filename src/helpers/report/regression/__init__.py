"""The accepted run, and what changed since."""
