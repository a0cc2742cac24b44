"""Pools of identical containers behind leases.

`spec` says what a pool is to be, `session` is one that is open, `pool` the public class over both;
`commands` are those of pools that stay, and `watcher` removes one whose last user is gone.
"""
