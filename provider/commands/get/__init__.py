"""`provider get`: downloads bought files over links, and continues where an earlier run ended."""
