"""Encrypted file lists and documents: decrypts them, checks them, and opens the files that they name."""
