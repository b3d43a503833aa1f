"""`provider backup` and `provider restore`: the state of a host as a folder of files for its owner alone."""
