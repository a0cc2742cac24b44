"""What to change: the plan of a run, its edits of compose files, its updates of containers, the
journal and the rollback.
"""

from capacity._compose.edit.edit import edit_compose
from capacity._compose.edit.reasons import EditReason
from capacity._compose.edit.units import Correction, correct_units
from capacity.changes._alert_rules import LimitForecast, alert_rules, limit_forecasts
from capacity.changes._apply.apply import ApplyPreview, RunResult, apply_plan, dry_run
from capacity.changes._apply.resume import ResumePreview, resume, resume_preview
from capacity.changes._journal.adjustments import AppliedChange, applied_changes, failure_cooldowns
from capacity.changes._journal.outcomes import Outcome, promised_outcomes
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
from capacity.changes._rollback.rollback import RollbackPreview, rollback, rollback_preview
from capacity.errors import EditRefused

__all__ = [
    "AppliedChange",
    "ApplyPreview",
    "Branch",
    "Correction",
    "EditReason",
    "EditRefused",
    "LimitForecast",
    "MadeFrom",
    "Outcome",
    "Plan",
    "PlannedChange",
    "ResumePreview",
    "RollbackPreview",
    "RunResult",
    "alert_rules",
    "applied_changes",
    "apply_plan",
    "commit_plan",
    "correct_units",
    "dry_run",
    "edit_compose",
    "emit_override",
    "emit_patch",
    "emit_scripts",
    "failure_cooldowns",
    "is_edited",
    "limit_forecasts",
    "make_plan",
    "plan_id",
    "plan_schema",
    "plan_text",
    "promised_outcomes",
    "read_plan",
    "resume",
    "resume_preview",
    "rollback",
    "rollback_preview",
    "update_command",
    "write_plan",
]
