"""A command line split into words as Compose splits it, which is not quite as a shell does.

Behind the first operator of a shell (`&`, `|`, `;`, `<`, `>`) that is neither quoted nor escaped
everything is left out. Backquotes and `$(...)` hold words together and stay as they are; a
parenthesis elsewhere is refused.
"""

from __future__ import annotations

from capacity.errors import ComposeError

__all__ = ["split_words"]

_SPACES = " \t\r\n"
_OPERATORS = ";&|<>"
_QUOTES = "'\""
_DIGITS = {*"0123456789"}


def split_words(text: str) -> list[str]:
    """The words of a command line.

    Raises:
        ComposeError: a quote or a bracket that is not closed, or a bracket in the wrong place.
    """
    line = _Line()
    try:
        for char in text:
            if not line.takes(char):
                break
        return line.ended()
    except ValueError as error:
        raise ComposeError(
            f"command {text!r}: {error}", "Close every quote, or write the command as a list"
        ) from error


class _Line:
    """The words so far, the one being read, and what is open: quotes, backquotes, and `$` for a
    `$(`.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.word = ""
        self.begun = False
        self.escaped = False
        self.open: set[str] = set()

    def takes(self, char: str) -> bool:
        """Read one more character; False where Compose stops reading."""
        if self.escaped:
            self._add(char)
            self.escaped = False
        elif char == "\\" and "'" not in self.open:
            self.escaped = True
        elif char in _SPACES:
            self._space(char)
        elif char in _OPERATORS and not self.open:
            self.begun = self.begun and not (
                char == ">" and self.word[:1] in _DIGITS
            )  # 2> takes its number along
            return False
        elif not self._mark(char):
            self._add(char)
        return True

    def ended(self) -> list[str]:
        """The words, once the line is at its end."""
        if self.escaped or self.open:
            raise ValueError("a quote, a bracket or a backslash at the end is not closed")
        return [*self.words, self.word] if self.begun else self.words

    def _add(self, text: str) -> None:
        self.word += text
        self.begun = True

    def _space(self, char: str) -> None:
        if self.open:
            self.word += char
        elif self.begun:
            self.words.append(self.word)
            self.word, self.begun = "", False

    def _mark(self, char: str) -> bool:
        """Whether the character only opens or closes something and is no part of the word."""
        if char in _QUOTES and not self.open - {"`", char}:
            self.begun = self.begun or char in self.open
            self.open ^= {char}
            return True
        if char == "(" and not self.open & {*_QUOTES, "`"}:
            if "$" in self.open or not self.word.endswith("$"):
                raise ValueError("a bracket stands where no command may begin")
            self.open.add("$")
            self.word += char
            return True
        if char == "`" and not self.open - {"`"}:
            self.open ^= {"`"}
        elif char == ")" and not self.open - {"$"}:
            self.open ^= {"$"}
        return False
