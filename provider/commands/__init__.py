"""The commands of the `provider` program other than `serve` and `demo`."""
