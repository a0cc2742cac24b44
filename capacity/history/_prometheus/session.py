"""The session with a metrics server: TLS, headers and credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from capacity._common.files import cause_of
from capacity.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.settings import PrometheusSettings

__all__ = ["session_of"]


def session_of(settings: PrometheusSettings) -> requests.Session:
    """A session as the settings have it; SettingsError where a file is missing or a value cannot be
    sent.
    """
    session = requests.Session()
    # gzip costs the server four times the wall time on a fast link
    session.headers["Accept-Encoding"] = "gzip" if settings.compress else "identity"
    for name, value in settings.headers.items():
        session.headers[name] = _sendable(value.get_secret_value(), f"prometheus.headers.{name}")
    session.verify = (
        str(settings.ca_file) if settings.verify and settings.ca_file else settings.verify
    )
    if settings.client_cert:
        key = settings.client_key or settings.client_cert
        session.cert = (str(settings.client_cert), str(key))
    for path in (settings.ca_file, settings.client_cert, settings.client_key):
        if path is not None and not path.is_file():
            raise SettingsError(
                f"There is no file {path}", "Correct the TLS settings in the table [prometheus]"
            )
    session.auth = _credentials(settings)
    return session


def _credentials(settings: PrometheusSettings) -> AuthBase:
    if settings.bearer_token_file:
        return _BearerFile(settings.bearer_token_file)
    if settings.bearer_token:
        return _Bearer(settings.bearer_token.get_secret_value())
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else ""
        return HTTPBasicAuth(settings.username.encode(), password.encode())
    url = urlsplit(str(settings.url))
    if url.username:
        return HTTPBasicAuth(unquote(url.username).encode(), unquote(url.password or "").encode())
    return _NoCredentials()


def _sendable(value: str, what: str) -> str:
    """`value` if HTTP can carry it; the message of an error must not show it."""
    if not value.isprintable() or not value.isascii() or value != value.strip():
        hint = (
            "Only printable ASCII without white space around it can be sent; look for a line break "
            "or a quotation mark"
        )
        raise SettingsError(f"The value of {what} cannot be sent in an HTTP header", hint)
    return value


class _NoCredentials(AuthBase):
    """Adds nothing; without it requests would look into ~/.netrc and override a configured header
    with what it finds.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _BearerFile(AuthBase):
    """Reads the token at every request: tokens in files are rotated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            token = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"Cannot read the bearer token from {self.path}: {cause_of(error)}",
                "Check the path",
            ) from error
        if not token:
            raise SettingsError(
                f"The bearer token file {self.path} is empty", "Check what writes it"
            )
        request.headers["Authorization"] = (
            f"Bearer {_sendable(token, f'the bearer token in {self.path}')}"
        )
        return request


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self.token = _sendable(token.strip(), "prometheus.bearer_token")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request
