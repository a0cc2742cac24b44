"""Fleet operations: restart loops, instance pools, core balance, emergencies."""

from capacity.operations.pool import Instance, InstancePool
from capacity.operations.restarts import RestartLoop, find_restart_loops

__all__ = ["Instance", "InstancePool", "RestartLoop", "find_restart_loops"]
