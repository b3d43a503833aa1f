"""HTTP/1.1 towards consumers: Tornado's server, and short ways through it."""
