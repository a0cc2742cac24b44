"""Text from outside made harmless to look at: what a terminal would obey is shown in its place."""

from __future__ import annotations

import unicodedata

__all__ = ["check_name", "check_text", "one_line", "visible"]


def visible(text: str, keep: str = "") -> str:
    r"""The text with every control, bidirectional, invisible and unassigned character as an escape.

    Args:
        text: from anywhere.
        keep: characters that stay, such as a line feed.

    An escape sequence becomes `\x1b[2K`, a right-to-left override `\u202e`; half a surrogate pair,
    which nothing could encode, `\ud800`.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """The text as one visible line, runs of blanks made one."""
    return visible(" ".join(text.split()))


def check_text(text: str, what: str, most: int, keep: str = "") -> str:
    """The text, if it has no character that cannot be seen and is not too long.

    Args:
        text: as it was read.
        what: what it is called in the message.
        most: characters.
        keep: characters that may stand in it although they cannot be seen.

    Raises:
        ValueError: with the cause.
    """
    if len(text) > most:
        raise ValueError(f"{what} has {len(text)} characters, at most {most} may be")
    hidden = next((char for char in text if not char.isprintable() and char not in keep), None)
    if hidden is not None:
        named = unicodedata.name(hidden, "a control character")
        raise ValueError(f"{what} holds U+{ord(hidden):04X} ({named.lower()})")
    return text


def check_name(text: str, what: str, most: int = 512) -> str:
    """The text, if it can be the name of something: visible, not empty, not blank at its ends, no
    way through folders, and its digits ASCII.

    Raises:
        ValueError: with the cause.
    """
    check_text(text, what, most)
    if not text or text != text.strip():
        raise ValueError(f"{what} is empty or has blanks at its ends")
    if text.strip(".") == "":
        raise ValueError(f"{what} is {text!r}, which names a folder")
    if any(char.isdecimal() and not char.isascii() for char in text):
        raise ValueError(f"{what} has digits of another script")
    return text
