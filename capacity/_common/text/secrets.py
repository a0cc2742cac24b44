"""What looks like a secret: in a variable of the environment, and in a line of a log. No value ever
leaves this module.

More is hidden than must be: a line that says too little is fixed by a look at the host, a leaked
password is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["MOST_READ", "looks_secret", "redact", "redact_lines", "sounds_secret"]

_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|PWD|SECRET|SECRETS|TOKEN|APIKEY|CREDENTIALS?"
    r"|(?:API|ACCESS|ACCOUNT|AUTH|COOKIE|ENCRYPTION|HMAC|JWT|MASTER|PRIVATE|SECRET|SESSION|SHARED"
    r"|SIGNING)_KEYS?)"
    r"(?:_|\d|$)"
    r"|PASSWORD|SECRET_?KEY|APIKEY|(?:CLIENT|JWT)SECRET|(?:^|_)(?:PW|BASIC_AUTH|(?:GH|GITHUB|GITLAB|AZURE|AZP|DOCKER)_PAT)$",
    re.IGNORECASE,
)
# what is said about a secret, and is none: its length, its realm, where it is
_ABOUT = (
    "AGE ALG ALGO ALGORITHM ALGORITHMS ALLOWED ARN ATTEMPTS AUDIENCE AUTHENTICATION BACKEND "
    "BUDGET BYTES "
    "CACHE CHARS CHARSET CHECK CLAIM CLAIMS CLASS COLUMN COMPLEXITY COST COUNT DAYS DIR "
    "DISABLED DRIVER DURATION EMAIL ENABLED ENCODING ENDPOINT ENGINE EXP EXPIRATION "
    "EXPIRE EXPIRES EXPIRY FIELD FIELDS FILE FLOW FORMAT FREQUENCY GRACE HASHER HASHERS "
    "HEADER HINT HISTORY HOST HOURS ID INTERVAL ISSUER ITERATIONS KEYWORD KIND LABEL "
    "LEEWAY LEN LENGTH LEVEL LIFETIME LIMIT LIMITS LOCATION LOGIN MANAGER MAX MAXIMUM "
    "METHOD MIN MINIMUM MINUTES MODE MOUNT MS NAME NAMESPACE PARAM PARAMETER PASSWORD_AUTH PATH "
    "PATTERN "
    "PERIOD PER_MINUTE POLICY PORT PREFERENCE PREFIX PROVIDER QUOTA RATE REALM RECOVERY "
    "REFRESH REGEX REGION RENEWAL REQUIRED REQUIREMENTS RESET RETRIES REUSE ROTATION "
    "ROUNDS RULES SCHEME SCOPE SCOPES SEC SECONDS SECS SERVER SERVICE SIZE SOURCE STORAGE "
    "STORE STRENGTH SUFFIX SYMBOL TEMPLATE THRESHOLD TIME TIMEOUT TTL TYPE URI URL USER "
    "USERNAME VALID VALIDATION VALIDATOR VALIDATORS VALIDITY VERIFY VERSION WINDOW"
)
_HARMLESS = re.compile(
    rf"_(?:{'|'.join(_ABOUT.split())})$"
    r"|^(?:MAX|MIN|NUM|ALLOW|ENABLE|DISABLE|USE|REQUIRE|SHOW|HIDE|SKIP)_"
    r"|^(?:PWD|OLDPWD)$"
    # keys that these build into a page are meant for everybody; a password there is a fault
    r"|^(?:NEXT_PUBLIC|NUXT_PUBLIC|REACT_APP|VITE|EXPO_PUBLIC|GATSBY)_(?!\w*(?:PASS|PRIVATE|SECRET))"
    r"(?:\w*_)?(?:KEY|TOKEN)$",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"(?:^|_)(?:SHA\d*|MD5|DIGEST|HASH|CHECKSUM|COMMIT|REVISION|REF|PGP\w*|GPG\w*|FINGERPRINT"
    r"|BUILD|ID|UUID|VERSION|PUBLIC\w*)(?:_|$)",
    re.IGNORECASE,
)
"""Names of what is as random as a key, and open to all."""
_RANDOM = re.compile(
    r"(?:base64:)?(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9+/_-]{32,}={0,2}"
    r"|(?=\D*\d)(?=[^a-f]*[a-f])[0-9a-f]{32,}"
    r"|(?=(?:\D*\d){4})(?!.*[A-Za-z]{8})(?:[a-z0-9]{32,}|[A-Z0-9]{32,})"  # no words
)
"""A value that only a generator of keys makes."""
_SWITCHES = {"", "true", "false", "yes", "no", "on", "off", "0", "1", "null", "none"}
_PLACE = re.compile(r"/run/secrets/[^\s:@]+")
"""Where a secret is mounted, which is where it should be."""
_TOKENS = (
    r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",  # a JSON web token
    r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}",  # GitHub, GitLab
    r"\bxox[a-z]-[\w-]{10,}",  # Slack
    r"\bsk-[\w-]{16,}|\b[sprw]k_(?:live|test)_\w{10,}",  # OpenAI, Anthropic, Stripe
    r"\bAIza[\w-]{30,}|\bnpm_\w{30,}|\bhf_\w{20,}|\bdckr_pat_[\w-]{20,}",
    r"\bSG\.[\w-]{10,}\.[\w-]{10,}|\bA[SK]IA[0-9A-Z]{16}(?::\S+)?",
    r"\$2[aby]\$\d\d\$\S{20,}|\$argon2(?:id|i|d)\$\S{20,}",  # hashes of passwords: of programs,
    r"\$(?:apr1|[15-7]|g?y|md5)\$(?:[\w=,./]+\$)?[./\w]+\$[./\w]{20,}",  # of htpasswd and shadow,
    r"\{(?:S?SHA\d*|S?MD5|CRYPT|PBKDF2\S{0,20})\}[\w+/=.$-]{16,}",  # and of LDAP
)
"""Tokens that tell what they are by their shape, wherever they stand."""

_WEBHOOK = (
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks)/"
)
"""An address that whoever knows it may write to."""

_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
            *_TOKENS,
            rf"{_WEBHOOK}\w",
            r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@",  # an address with a password in it
            r"(?i:(?:^|[;\s?&])(?:password|passwd|pwd)\s*=\s*[^;\s&]+)",  # or another connection
        )
    )
)

# letters of a line that are looked at: patterns must not take for ever on a line without end
MOST_READ = 4000
_LONGEST = 300
_HIDDEN = "[redacted]"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07?")
_BEGIN, _END = (
    re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"),
    re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY"),
)
_BODY = re.compile(r"\s*[A-Za-z0-9+/]+={0,2}\s*")  # a line of a key

_WORD = r"(?:pass(?:word|wd|phrase|code)?|pwd|\bpw|bindpw|rootpw)"
_NAMED = (
    rf"(?:{_WORD}|secret|token|credential|authorization|cookie|dsn|\bauth\b|session[-_]?id|signature|\bsig\b|"
    r"(?:api|access|account|private|encryption|signing|master|shared|ssh|storage)[-_]?key)"
)
_KEY = rf"{_NAMED}[\w-]*"
_QUOTED = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_VALUE = rf"(?:{_QUOTED}|[^\s,;&]+)"
_IS = r"""\\?["']?\s*(?:=>|:=|[=:])\s*"""
_SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).+",
        rf"(?i)((?:authorization|cookie){_IS}).+",
        # words without quotes up to the next name or the end: a passphrase has several
        rf"(?i)({_WORD}[\w-]*{_IS})(?:\\?{_QUOTED}|[^\s,;&][^,;&]*?(?=\s+[\w.-]+\s*[=:]|[,;&]|$))",
        rf"(?i)({_KEY}{_IS})(?:\\?{_VALUE})",
        rf"""(?i)(["']{_KEY}["']\s*,\s*){_VALUE}""",
        rf"""(?i)({_KEY}["']\s+value\s*=\s*){_VALUE}""",
        rf"(?i)(<[\w:-]*{_KEY}>)[^<]+",
        rf"(?i)({_KEY}\s+(?:(?:is|was|of)\s+)?){_QUOTED}",
        rf"(?i)({_KEY}\s+(?:is|was)\s+)(?!(?:not|in)?(?:valid|correct|wrong|missing|empty|required|expired|set|too)\b)\S+",
        rf"(?i)(--?[\w-]{{0,40}}{_KEY}\s+){_VALUE}",
        r"(?i)((?:api[-_]?key|token)\s+)(?=[^\s\d]*\d)\S{8,}",
        r"((?:\bAUTH|requirepass|masterauth|bindpw|rootpw)\s+)\S+",
        r"(?i)(\b(?:bearer|basic)\s+)[^\s\"']{8,}",
        r"(\bmysql\w*\s(?:.*\s)?-p)\S+",
        r"(\s-u\s+[^\s:]+:)\S+",
        r"(?i)([?&](?:key|sig|code|auth|access|pass)=)[^&\s]+",
        r"(\w+://[^\s/:@]*:)\S+(?=@)",
        r"(\w+://)[^\s/:@]{8,}(?=@)",
        r"(jdbc:oracle:\w+:[^/\s]+/)[^@\s]+",
        r"(\b[\w.-]+:)[^\s@/:]+(?=@[\w(\[])",
        rf"({_WEBHOOK})\S+",
        *(rf"()(?:{token})" for token in _TOKENS),
        r"()(?<![\w/+])(?=[\w/+]{0,39}[A-Z])(?=[\w/+]{0,39}[a-z])(?=[\w/+]{0,39}[0-9/+])[A-Za-z0-9/+]{40}(?![\w/+])",
        r"()[A-Za-z0-9+/]{60,}={0,2}",
    )
)
_ASSIGNED = re.compile(rf"(?<![\w.-])([A-Za-z_][\w.-]{{0,99}})({_IS})\\?({_VALUE})")
"""A name with its value."""


def looks_secret(name: str, value: str | None) -> bool:
    """Whether a variable holds a secret: a telling name with a value of its own, a value of a
    telling shape, or one as random as keys are.

    A name that ends in `_FILE` holds the path of a secret, which is how it should be.
    """
    if value is None:
        return False
    if _SHAPES.search(value) or (_RANDOM.fullmatch(value) and not _PUBLIC.search(name)):
        return True
    said = value.strip()
    return sounds_secret(name) and said.lower() not in _SWITCHES and not _PLACE.fullmatch(said)


def sounds_secret(name: str) -> bool:
    """Whether a variable of this name would hold a secret, whatever its value."""
    return bool(_NAME.search(name)) and not _HARMLESS.search(name)


def redact(line: str) -> str:
    """A line of a log without what looks like a password, token or key, and cut to a length for
    people.
    """
    line = "".join(
        letter
        for letter in _ESCAPES.sub("", line[:MOST_READ])
        if unicodedata.category(letter) != "Cf"
    )
    for secret in _SECRETS:
        line = secret.sub(rf"\g<1>{_HIDDEN}", line)
    line = _ASSIGNED.sub(_hidden, line)
    line = "".join(letter if letter.isprintable() else " " for letter in line).strip()
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."


def _hidden(assigned: re.Match[str]) -> str:
    """A name, with its value unless that would be a secret of the environment."""
    name, sign, value = assigned.groups()
    if not looks_secret(re.sub(r"[.-]", "_", name), value.strip("\\\"'")):
        return assigned[0]
    return f"{name}{sign}{_HIDDEN}"


def redact_lines(lines: Iterable[str]) -> list[str]:
    """Each line redacted; of a private key over several lines nothing is left, also where its begin
    has been cut off.
    """
    shown: list[str] = []
    inside = False
    for line in lines:
        if _BEGIN.search(line):
            inside = not _END.search(line)
        elif _END.search(line):
            for place in range(len(shown) - 1, -1, -1):
                if not _BODY.fullmatch(shown[place]) and shown[place] != _HIDDEN:
                    break
                shown[place] = _HIDDEN
            inside = False
        elif inside and _BODY.fullmatch(line):
            shown.append(_HIDDEN)
            continue
        else:
            inside = False
        shown.append(redact(line))
    return shown
