"""The server as operating-system processes: start, workers and their supervisor, reload, drain."""
