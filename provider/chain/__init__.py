"""Everything about a blockchain: asking its nodes, its contracts and events, our accounts on it."""
