"""Fleet operations: restart loops, instance pools, core balance, emergencies."""

from capacity.operations.pool import Instance, InstancePool


__all__ = ["Instance", "InstancePool"]
