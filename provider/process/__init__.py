"""The server as operating-system processes: start, workers, reload, drain."""
