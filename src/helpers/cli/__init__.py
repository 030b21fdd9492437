"""The command `osemn`."""
