"""Real parts that several test suites stand on."""
