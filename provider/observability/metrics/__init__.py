"""Every metric of the server: its name (`catalog/`), what counts it (`recorder.py`), and how it is told.

Rooms do not import this: they take the observers that `app.py` hands them.
"""

from provider.observability.metrics.chain_observer import ChainObserver
from provider.observability.metrics.off import NoMetrics
from provider.observability.metrics.recorder import Metrics

__all__ = ["ChainObserver", "Metrics", "NoMetrics"]
