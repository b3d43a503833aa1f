"""Links: capabilities for one bought file, which any tool can open."""
