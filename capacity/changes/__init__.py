"""What to change: the plan of a run, the commands that would carry it out, and edits of compose files."""

from capacity.changes.commands import update_command
from capacity.changes.edit import edit_compose
from capacity.changes.edit_reasons import EditReason
from capacity.changes.plan import MadeFrom, Plan, PlannedChange, make_plan, plan_id, read_plan, write_plan
from capacity.errors import EditRefused

__all__ = [
    "EditReason",
    "EditRefused",
    "MadeFrom",
    "Plan",
    "PlannedChange",
    "edit_compose",
    "make_plan",
    "plan_id",
    "read_plan",
    "update_command",
    "write_plan",
]
