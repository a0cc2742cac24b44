"""Ways to people. Each is tried a few times; one that fails stops no other."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from capacity.errors import InputError
from capacity.reporting._delivery.message import Message
from capacity.settings import DeliverySettings

__all__ = ["Failure", "deliver", "has_ways", "mail_of"]

_TRIES = 3
_SECONDS = 20.0  # of one attempt
_OK = 300  # status codes below were taken


@dataclass(frozen=True)
class Failure:
    """A way that did not work.

    Attributes:
        channel: which one, without its secrets.
        why: in one line.
    """

    channel: str
    why: str


class _NotTaken(Exception):
    """The other side answered that it did not take the message."""


def deliver(message: Message, settings: DeliverySettings, *, wait: float = 2.0) -> list[Failure]:
    """Send a message on every way that the settings name; what failed after some tries.

    Args:
        message: of a finished report.
        settings: ways and their secrets.
        wait: seconds before the second try; each further one waits twice as long.
    """
    failures = []
    for name, send in _ways(message, settings):
        try:
            for attempt in Retrying(
                stop=stop_after_attempt(_TRIES),
                wait=wait_exponential(multiplier=wait, max=60),
                retry=retry_if_exception_type((OSError, smtplib.SMTPException, _NotTaken)),
                reraise=True,
            ):
                with attempt:
                    send()
        except (OSError, smtplib.SMTPException, _NotTaken, InputError, ValueError) as error:
            failures.append(Failure(name, " ".join(str(error).split()) or type(error).__name__))
    return failures


def mail_of(message: Message, settings: DeliverySettings) -> EmailMessage:
    """The mail: the first screen as text and HTML, the page attached."""
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = settings.mail_from
    mail["To"] = ", ".join(settings.mail_to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="capacity.invalid")
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    mail.add_attachment(
        message.page.read_bytes(), maintype="text", subtype="html", filename=message.page.name
    )
    return mail


def has_ways(settings: DeliverySettings) -> bool:
    """Whether the settings name any way."""
    return bool(settings.mail_to or settings.webhooks or settings.apprise or settings.folder)


def _ways(message: Message, settings: DeliverySettings) -> list[tuple[str, Callable[[], None]]]:
    ways: list[tuple[str, Callable[[], None]]] = []
    if settings.mail_to:
        ways.append((f"mail by {settings.smtp}", lambda: _send_mail(message, settings)))
    for number, hook in enumerate(settings.webhooks, 1):
        address = hook.get_secret_value()
        ways.append((f"webhook {number}", lambda to=address: _post(message, to)))  # type: ignore[misc]  # bound early
    for number, target in enumerate(settings.apprise, 1):
        address = target.get_secret_value()
        ways.append((f"apprise {number}", lambda to=address: _notify(message, to)))  # type: ignore[misc]  # bound early
    folder = settings.folder
    if folder:
        ways.append(("folder", lambda: _copy(message, folder)))
    return ways


def _send_mail(message: Message, settings: DeliverySettings) -> None:
    host, _, port = settings.smtp.rpartition(":")
    context = ssl.create_default_context()
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(host, int(port), timeout=_SECONDS, context=context)
        if settings.smtp_security == "tls"
        else smtplib.SMTP(host, int(port), timeout=_SECONDS)
    )
    with server:
        if settings.smtp_security == "starttls":
            server.ehlo()
            if not server.has_extn("starttls"):
                raise InputError(
                    "The mail server offers no STARTTLS",
                    'Set delivery.smtp_security to "tls", or to "none" where the way to it is safe',
                )
            server.starttls(context=context)
        if settings.smtp_user:
            password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
            server.login(settings.smtp_user, password)
        server.send_message(mail_of(message, settings))


def _post(message: Message, address: str) -> None:
    """Plain JSON; the first screen, not the page."""
    import requests

    body = {
        "report": message.report,
        "name": message.name,
        "subject": message.subject,
        "text": message.text,
        "lines": list(message.lines),
        "new": message.fresh,
        "link": message.link or None,
    }
    try:
        with requests.post(
            address, json=body, timeout=_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            if answer.status_code >= _OK:
                raise _NotTaken(f"answered {answer.status_code}")
    except requests.RequestException as error:
        # the message of requests names the address, which may hold a token
        raise _NotTaken(type(error).__name__) from error


def _notify(message: Message, address: str) -> None:
    try:
        import apprise
    except ImportError as error:
        raise InputError(
            "Chat by apprise needs its package", "pip install 'capacity-notebooks[deliver]'"
        ) from error
    way = apprise.Apprise()
    if not way.add(address):
        raise InputError("apprise does not know this address", "Its documentation lists the forms")
    if not way.notify(title=message.subject, body=message.text):
        raise _NotTaken("was not taken")


def _copy(message: Message, folder: str) -> None:
    """Into a folder, or an object store through fsspec (`s3://reports`)."""
    try:
        import fsspec
    except ImportError as error:
        raise InputError(
            "Delivery to a folder needs fsspec", "pip install 'capacity-notebooks[deliver]'"
        ) from error
    place = f"{folder.rstrip('/')}/{message.name}"
    try:
        system, root = fsspec.url_to_fs(place)
        system.makedirs(root, exist_ok=True)
        system.put_file(str(message.page), f"{root}/{message.page.name}")
    except ImportError as error:  # the store's own package
        raise InputError(str(error), "Install the package of this store") from error
