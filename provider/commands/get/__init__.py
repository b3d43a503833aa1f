"""`provider get`: downloads what a buyer has bought, over links, and goes on where an earlier run ended."""
