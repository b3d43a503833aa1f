"""The operator service of the demo, and the sandbox that runs its jobs."""
