"""The live dashboard of the admin listener."""
