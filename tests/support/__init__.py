"""Real servers and other parts that several test suites use."""
