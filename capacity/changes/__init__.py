"""What to change: the plan of a run, its edits of compose files, its updates of containers, the
journal and the way back.
"""

from capacity._compose.edit.edit import edit_compose
from capacity._compose.edit.reasons import EditReason
from capacity._compose.edit.units import Correction, correct_units
from capacity.changes._alert_rules import Outlook, alert_rules, outlooks_of
from capacity.changes._apply.apply import Preview, Result, apply_plan, dry_run
from capacity.changes._apply.resume import Ahead, resume, resume_preview
from capacity.changes._journal.adjustments import Adjustment, adjustments, held_back
from capacity.changes._journal.outcomes import Realised, promised_against_realised
from capacity.changes._plan.commands import update_command
from capacity.changes._plan.exports import emit_override, emit_patch, emit_scripts
from capacity.changes._plan.file import plan_text, read_plan, write_plan
from capacity.changes._plan.git_branch import Branch, commit_plan
from capacity.changes._plan.plan import (
    MadeFrom,
    Plan,
    PlannedChange,
    is_edited,
    make_plan,
    plan_id,
    plan_schema,
)
from capacity.changes._rollback.rollback import Back, rollback, rollback_preview
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
