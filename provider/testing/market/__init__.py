"""The publisher and the buyers of the demo."""
