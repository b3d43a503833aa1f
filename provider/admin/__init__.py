"""The second listener, for operators: metrics, liveness and readiness. Never reachable through the public one."""
