"""What to change: the plan of a run and the commands that would carry it out."""

from capacity.changes.commands import update_command
from capacity.changes.plan import MadeFrom, Plan, PlannedChange, make_plan, plan_id, read_plan, write_plan

__all__ = ["MadeFrom", "Plan", "PlannedChange", "make_plan", "plan_id", "read_plan", "update_command", "write_plan"]
