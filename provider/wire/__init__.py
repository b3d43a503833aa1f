"""Text that came over a wire: numbers, white space, JSON."""
