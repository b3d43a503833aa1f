"""Metrics: declared by topic (`traffic.py`, `backends.py`, `processes.py`), and shared by workers (`board.py`).

A room imports its group and counts in it.
"""

from provider.observability.metrics.board import Board as Board
from provider.observability.metrics.metrics import Metrics as Metrics
