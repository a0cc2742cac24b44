"""Why an edit was refused: a closed list, each with its sentence and the next step."""

from __future__ import annotations

from enum import StrEnum

from capacity.errors import EditRefused

__all__ = ["EditReason", "refuse"]


class EditReason(StrEnum):
    """The causes for which `edit_compose` leaves a file alone."""

    INVALID = "invalid"
    TEMPLATE = "template"
    GENERATED = "generated"
    DOCUMENTS = "documents"
    DUPLICATE = "duplicate"
    NO_SERVICES = "no-services"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_CHANGE = "unknown-change"
    BAD_VALUE = "bad-value"
    INTERPOLATED = "interpolated"
    SHARED = "shared"
    SHAPE = "shape"
    NO_PORT = "no-port"
    PORT_RANGE = "port-range"
    BELOW_RESERVATION = "below-reservation"
    ABOVE_SWAP = "above-swap"
    CPU_QUOTA = "cpu-quota"
    OVERRIDDEN = "overridden"
    PROJECT = "project"
    NOT_EXACT = "not-exact"

    @property
    def text(self) -> str:
        """The cause as a sentence."""
        return _TEXTS[self][0]

    @property
    def hint(self) -> str:
        """What a person can do."""
        return _TEXTS[self][1]


_TEXTS = {
    EditReason.INVALID: ("The file is no YAML that Compose reads", "Correct the file first"),
    EditReason.TEMPLATE: (
        "The file is a template, and what it will become is not known",
        "Edit the values it is filled with",
    ),
    EditReason.GENERATED: (
        "The file says that a program writes it",
        "Change what it is generated from, or use an override file",
    ),
    EditReason.DOCUMENTS: (
        "The file holds several YAML documents",
        "Split it, or use an override file",
    ),
    EditReason.DUPLICATE: (
        "A key stands twice in one mapping, which Compose refuses",
        "Remove one of the two",
    ),
    EditReason.NO_SERVICES: (
        "The file has no `services`",
        "Name the file that declares the service",
    ),
    EditReason.UNKNOWN_SERVICE: (
        "The file declares no such service",
        "Name a service of this file",
    ),
    EditReason.UNKNOWN_CHANGE: (
        "There is no such thing to change",
        "Use memory, cpus or another of the documented names",
    ),
    EditReason.BAD_VALUE: ("The value is none that the Engine accepts", "Give another value"),
    EditReason.INTERPOLATED: (
        "The present value comes from a variable",
        "Change the variable where it is set",
    ),
    EditReason.SHARED: (
        "Other services take the value from here, by an anchor, by `extends` or by `include`",
        "Give those services limits of their own",
    ),
    EditReason.SHAPE: ("What stands there is not what Compose expects", "Correct that value first"),
    EditReason.NO_PORT: (
        "No port is published under that number",
        "Make a new plan: the file says something else by now",
    ),
    EditReason.PORT_RANGE: (
        "The port is one of a range, which moves as a whole",
        "Write the ports of the range one by one first",
    ),
    EditReason.BELOW_RESERVATION: (
        "The limit would be below the service's reservation, which the Engine refuses",
        "Lower the reservation in the same edit",
    ),
    EditReason.ABOVE_SWAP: (
        "The memory limit would be above `memswap_limit`, which the Engine refuses",
        "Raise memswap in the same edit",
    ),
    EditReason.CPU_QUOTA: (
        "The service has `cpu_quota` or `cpu_period`, which the Engine refuses beside `cpus`",
        "Keep one of the two first",
    ),
    EditReason.OVERRIDDEN: (
        "Another place in the project's files has the last word on the value",
        "Change it there, or remove it there",
    ),
    EditReason.PROJECT: (
        "Compose would refuse the whole project afterwards",
        "Edit its files by hand, together",
    ),
    EditReason.NOT_EXACT: (
        "No small edit of this text gives exactly the intended change",
        "Edit the file by hand, or use an override file",
    ),
}


def refuse(reason: EditReason, service: str = "", detail: str = "") -> EditRefused:
    """The error to raise: the service, the cause, the next step."""
    subject = f"Service {service!r} is left alone" if service else "The compose file is left alone"
    more = f" ({detail})" if detail else ""
    cause = reason.text[0].lower() + reason.text[1:]
    return EditRefused(f"{subject}: {cause}{more}", reason.hint, service=service, reason=reason)
