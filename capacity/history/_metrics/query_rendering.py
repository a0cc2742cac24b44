"""PromQL text from the catalogue's templates: names of metrics and labels as a server has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capacity._common.text.escape import promql_string
from capacity.errors import SettingsError
from capacity.history._metrics.profiles import known_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.history._metrics.signals import Query
    from capacity.settings import IdentitySettings

__all__ = ["container_labels", "container_selector", "label_name", "render_query"]

_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_WORD = re.compile(r"\$([a-zA-Z_:][\w.:]*)(\{)?")
_KNOWN_HINT = "docs/reference/signals.md lists the metrics by their usual names"


def label_name(label: str) -> str:
    """A label as PromQL names it; one with other characters (UTF-8 names of Prometheus 3) in
    quotes.
    """
    return label if _PLAIN_LABEL.fullmatch(label) else promql_string(label)


def container_selector(identity: IdentitySettings) -> str:
    """Matchers of series that are of containers, those of `compose run` left out."""
    return f'{label_name(identity.name)}!="",{label_name(identity.oneoff)}!="True"'


def container_labels(identity: IdentitySettings) -> str:
    """The labels that tell the containers of a host apart, for `by (...)`."""
    labels = (identity.project, identity.service, identity.number, identity.name)
    return ",".join(label_name(label) for label in labels)


def render_query(
    query: Query, identity: IdentitySettings, renamed: Mapping[str, str], window: int
) -> str:
    """PromQL text of `query`.

    Args:
        query: from the catalogue or a profile.
        identity: the labels that name a container.
        renamed: usual metric name -> name on this server.
        window: look-back of rates and maxima in seconds.

    Raises:
        SettingsError: `renamed` has a key that no signal knows.
    """
    unknown = sorted(set(renamed) - known_metrics())
    if unknown:
        raise SettingsError(
            f"Setting metrics.{unknown[0]}: no signal uses a metric of this name", _KNOWN_HINT
        )
    host, labels = label_name(identity.host), container_labels(identity)
    words = {
        "containers": container_selector(identity),
        "identity": f"{host},{labels}",
        "labels": labels,
        "host": host,
        "window": f"{window}s",
        "twice": f"{2 * window}s",
        "pieces": f"{window}s:300s",
    }

    def written(match: re.Match[str]) -> str:
        word, brace = match[1], match[2] or ""
        if word in words:
            return words[word] + brace
        metric = renamed.get(word, word)
        if _PLAIN_METRIC.fullmatch(metric):
            return metric + brace
        # every server takes a name as a label; only Prometheus 3 takes it quoted alone
        return f"{{__name__={promql_string(metric)}{',' if brace else '}'}"

    return _WORD.sub(written, query.expression)
