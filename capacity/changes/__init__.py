"""What to change: the plan of a run, its edits of compose files, its updates of containers, the journal and the way back."""

from capacity.changes.alerts import Outlook, alert_rules, outlooks_of
from capacity.changes.apply import Preview, Result, apply_plan, dry_run
from capacity.changes.commands import update_command
from capacity.changes.commit import Branch, commit_plan
from capacity.changes.correct import Correction, correct_units
from capacity.changes.edit import edit_compose
from capacity.changes.edit_reasons import EditReason
from capacity.changes.emit import emit_override, emit_patch, emit_scripts
from capacity.changes.held import Adjustment, adjustments, held_back
from capacity.changes.plan import MadeFrom, Plan, PlannedChange, is_edited, make_plan, plan_id, plan_schema
from capacity.changes.plan_file import plan_text, read_plan, write_plan
from capacity.changes.realised import Realised, promised_against_realised
from capacity.changes.resume import Ahead, resume, resume_preview
from capacity.changes.rollback import Back, rollback, rollback_preview
from capacity.errors import EditRefused

__all__ = [
    "Adjustment",
    "Ahead",
    "Back",
    "Branch",
    "Correction",
    "EditReason",
    "EditRefused",
    "MadeFrom",
    "Outlook",
    "Plan",
    "PlannedChange",
    "Preview",
    "Realised",
    "Result",
    "adjustments",
    "alert_rules",
    "apply_plan",
    "commit_plan",
    "correct_units",
    "dry_run",
    "edit_compose",
    "emit_override",
    "emit_patch",
    "emit_scripts",
    "held_back",
    "is_edited",
    "make_plan",
    "outlooks_of",
    "plan_id",
    "plan_schema",
    "plan_text",
    "promised_against_realised",
    "read_plan",
    "resume",
    "resume_preview",
    "rollback",
    "rollback_preview",
    "update_command",
    "write_plan",
]
