"""The room that moves bytes from a `Source` to a consumer, bounded in memory, and tells how it ended.

Nothing is authorised or fetched here; HTTP towards the consumer is only in `tornado_sink.py`.
"""
