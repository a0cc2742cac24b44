"""What happened: PromQL catalogue, metrics server, archive, imported files and the sample fleet."""

from capacity.history._history import History

__all__ = ["History"]
