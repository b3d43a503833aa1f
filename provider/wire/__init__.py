"""Text from the network: numbers, white space, JSON."""
