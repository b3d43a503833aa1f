"""Moves bytes from a `Source` to a consumer with bounded memory, and reports how the transfer ended.

This room neither authorises nor fetches. HTTP towards the consumer is in `http1/sink.py`.
"""
