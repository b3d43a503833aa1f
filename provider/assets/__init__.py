"""Assets: DIDs, DDOs, who may consume them, and where DDOs come from."""
