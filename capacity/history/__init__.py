"""What happened: PromQL catalogue, metrics server, archive, imported files and the sample fleet."""

from capacity.history.frames import History

__all__ = ["History"]
