"""Where data sets are: on this machine, behind an address, in a package registry."""
