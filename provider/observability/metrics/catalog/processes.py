"""Workers, their event loops, memory and files, and the disk."""

from provider.observability.metrics.family import Family

# Timers come up to a millisecond late on an idle loop; from 100 ms on consumers notice.
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

LOOP_LAG = Family(
    "provider_event_loop_lag_seconds",
    "histogram",
    "How late a timer of the event loop was, sampled twice a second by each worker.",
    buckets=_LAG,
)
WORKERS = Family("provider_workers", "gauge", "Worker processes that serve.")
WORKER_RESTARTS = Family(
    "provider_worker_restarts_total",
    "counter",
    "Workers that another took the place of; only with several workers.",
    {"reason": "`died`: it ended unasked; `reload`: its successor served, and it was told to finish"},
)
CERTIFICATE_EXPIRY = Family(
    "provider_tls_certificate_expiry_timestamp_seconds",
    "gauge",
    "Until when the certificate is valid that consumers are shown, in unix seconds; only with TLS on this server.",
    merge="min",
)
STORAGE_FREE = Family(
    "provider_storage_free_bytes", "gauge", "Free space of the disk behind `STORAGE_PATH`.", merge="min"
)
STORAGE_SIZE = Family("provider_storage_size_bytes", "gauge", "Size of the disk behind `STORAGE_PATH`.", merge="max")
CPU_SECONDS = Family("process_cpu_seconds_total", "counter", "CPU time, user and system, of all workers.")
RESIDENT_MEMORY = Family(
    "process_resident_memory_bytes",
    "gauge",
    "Resident memory of all workers; pages that they share count for each.",
)
OPEN_FDS = Family("process_open_fds", "gauge", "Open file descriptors of the worker with most.", merge="max")
MAX_FDS = Family("process_max_fds", "gauge", "File descriptors that one worker may have.", merge="min")
START_TIME = Family(
    "process_start_time_seconds", "gauge", "When the oldest worker started, in unix seconds.", merge="min"
)
BUILD_INFO = Family(
    "provider_build_info",
    "gauge",
    "Always 1.",
    {"version": "of this server", "python": "version of Python", "uvloop": "version of uvloop"},
    merge="max",
)
