"""HTTP/1.1 for consumers: Tornado's server, with faster paths for common requests. Only this room uses its privates."""
