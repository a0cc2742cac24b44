"""Text from outside inside another format: one escaper each, used by every output of that format.

A shell has `shlex.quote`, JSON and YAML their writers, a file's name
`capacity._common.files.file_parts`.
"""

from __future__ import annotations

import html
import json
import re
from shlex import quote

from capacity._common.text.printable import one_line, visible

__all__ = [
    "csv_cell",
    "encodable",
    "from_csv_cell",
    "html_text",
    "label_value",
    "markdown",
    "operand",
    "promql_string",
    "re2_literal",
    "sarif_text",
    "template",
]

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~!$@]|&(?=[A-Za-z#]))")
_LINK = re.compile(r"(?<=[A-Za-z0-9]):(?=//)")
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
_BLANKS = "\n\t\xa0\u2009\u202f"
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
_BRACKETS = re.compile(r"([\\\[\]])")
_RE2_SIGNS = re.compile(r"[\\.+*?()|\[\]{}^$]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def markdown(text: str) -> str:
    """Text that Markdown, also GitHub's, shows as it is: no link, no HTML, no cell, no list."""
    escaped = _MARKDOWN.sub(r"\\\1", one_line(text))
    escaped = _WWW.sub(r"\1\\.", _LINK.sub(r"\\:", escaped))
    number = re.match(r"\d+(?=[.)])", escaped)
    if number:
        return f"{number[0]}\\{escaped[number.end() :]}"
    return f"\\{escaped}" if escaped[:1] in {"-", "+", "="} else escaped


def csv_cell(text: str) -> str:
    """Text that a spreadsheet shows as it is: what would begin a formula has an apostrophe before
    it, as spreadsheets themselves write it.
    """
    shown = visible(text)
    return f"'{shown}" if shown[:1] and shown[0] in _FORMULA + "'" else shown


def from_csv_cell(text: str) -> str:
    """The text that `csv_cell` was given."""
    return text[1:] if text[:1] == "'" and text[1:2] and text[1] in _FORMULA + "'" else text


def label_value(text: str) -> str:
    """The value of a label in Prometheus' text format, without its quotes."""
    return encodable(text).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def promql_string(text: str) -> str:
    """A string of PromQL, with its quotes."""
    return json.dumps(encodable(text), ensure_ascii=False)


def re2_literal(text: str) -> str:
    """Text as a part of a regular expression of Prometheus, Go and Python; they know no common
    escapes but those of signs.
    """
    return _RE2_SIGNS.sub(r"\\\g<0>", encodable(text))


def template(text: str) -> str:
    """Text that Prometheus' templates of labels and annotations give back as it is."""
    return visible(text).replace("{{", '{{"{{"}}')


def sarif_text(text: str) -> str:
    """Text that a viewer of SARIF shows as it is, since brackets make links there."""
    return _BRACKETS.sub(r"\\\1", visible(text, keep="\n"))


def operand(word: str) -> str:
    """A quoted word for a shell that its command takes for no option."""
    return f"-- {quote(word)}" if word.startswith("-") else quote(word)


def encodable(text: str) -> str:
    """The text with half surrogate pairs, which UTF-8 has not, made visible."""
    return _SURROGATE.sub(lambda found: visible(found[0]), text)


def html_text(text: str) -> str:
    """Text that a page shows as it is, in an element and in a quoted attribute."""
    return html.escape(visible(text, keep=_BLANKS))
