"""`python -m helpers.cli`, the same as `osemn`."""

from helpers.cli.main import main

main()
