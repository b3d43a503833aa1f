"""The scenes that `provider demo` plays, and their report."""
