"""Fleet operations: restart loops, instance pools, core balance, emergencies."""

from capacity.operations._pools.pool import InstancePool
from capacity.operations._pools.session import Instance
from capacity.operations._restarts.loops import RestartLoop, find_restart_loops

__all__ = ["Instance", "InstancePool", "RestartLoop", "find_restart_loops"]
