"""Which environment variables hold a secret, told by name and by shape. No value ever leaves this
module.
"""

from __future__ import annotations

import re

__all__ = ["looks_secret"]

_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|PWD|SECRET|SECRETS|TOKEN|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|SECRET_KEY|AUTH_KEY"
    r"|ENCRYPTION_KEY|CREDENTIAL|CREDENTIALS)(?:_|\d|$)"
    r"|PASSWORD|SECRET_?KEY|APIKEY",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"_(?:FILE|PATH|DIR|URL|URI|NAME|ID|TTL|LENGTH|EXPIRY|EXPIRES|ENABLED|DISABLED|TIMEOUT|POLICY|MIN|MAX|ALGORITHM|HEADER|FIELD|TYPE)$"
    r"|^(?:PWD|OLDPWD)$",
    re.IGNORECASE,
)
_SWITCHES = {"", "true", "false", "yes", "no", "on", "off", "0", "1"}
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # an access key of AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}"  # GitHub
    r"|\bglpat-[A-Za-z0-9_-]{20,}"  # GitLab
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # OpenAI and Anthropic
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."  # a JSON web token
    r"|[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@"  # an address with a password in it
)


def looks_secret(name: str, value: str | None) -> bool:
    """Whether a variable holds a secret: a telling name with a value of its own, or a value of a
    telling shape.

    A name that ends in `_FILE` holds the path of a secret, which is how it should be.
    """
    if value is None:
        return False
    if _SHAPES.search(value):
        return True
    return (
        bool(_NAME.search(name))
        and not _HARMLESS.search(name)
        and value.strip().lower() not in _SWITCHES
    )
