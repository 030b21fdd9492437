"""The accepted run, and what changed since: kept metrics, tests of differences, words for them."""
