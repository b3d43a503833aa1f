"""Keys, signatures, encryption and certificates."""
