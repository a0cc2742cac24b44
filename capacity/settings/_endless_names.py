"""What makes reading a settings file take the square of its length, found before it is read."""

from __future__ import annotations

__all__ = ["refuse_endless_names"]

_MOST_DOTS = 100  # of a line, outside of texts: a name of so many parts


def refuse_endless_names(text: str) -> None:
    """ValueError for a line with more dots, outside of texts and comments, than a name has."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS and _bare_dots(line) > _MOST_DOTS:
            raise ValueError(f"line {number}: a name of more than {_MOST_DOTS} parts")


def _bare_dots(line: str) -> int:
    """How many dots stand outside of quotes and comments."""
    count, quote, escaped = 0, "", False
    for character in line:
        if escaped:
            escaped = False
        elif quote:
            escaped = quote == '"' and character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            break
        else:
            count += character == "."
    return count
