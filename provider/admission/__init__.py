"""Limits clients, connections, memory and work, and protects a late event loop.

Every decision comes before the body is read and before any signature, chain or origin is checked.
"""
