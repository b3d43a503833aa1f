"""Encrypted file lists and documents: opened, checked, and turned into what is asked of an origin."""
