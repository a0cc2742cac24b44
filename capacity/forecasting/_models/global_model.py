"""One gradient-boosted model for the whole fleet, a candidate where history is long enough to teach
and to judge it.

It learns how far the median of a service's next week lies from its hour-of-day profile, given what
the other candidates say: rows of all services and past weeks are pooled, in units of each service's
own width, so a pattern seen on many services (a level that falls back after a busy day) helps a
service that has not shown it yet (global models: Montero-Manso and Hyndman, IJF 37, 2021). The
spread around its median is the profile's own. Like every candidate it is heard as far as its past
losses allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from capacity.forecasting._models.base_models import expand
from capacity.forecasting._models.candidates import Asked, ChunkCandidates
from capacity.forecasting._preprocessing import DAY, WEEK
from capacity.forecasting._quantiles import Floats, Singles, level_index
from capacity.forecasting._threads import single_threaded

__all__ = ["LEAST_HOURS", "SEEN_HOURS", "TAUGHT", "asked", "teach"]

LEAST_HOURS = 5 * WEEK  # two weeks for the profiles, two of targets, one to judge by
SEEN_HOURS = (
    2 * WEEK
)  # an origin needs this much before it, for every candidate to have something to say
TAUGHT = (7 * DAY, 14 * DAY, 21 * DAY, 28 * DAY)  # origins whose following week is a target
_JUDGED = TAUGHT[0]  # the loss is measured here, by a model that has seen only the weeks before
_BASE, _WIDTH = "hour of day 7d", "level 7d"
_SAID = (
    *("level 1d", "level 7d", "level 28d", "fading 2d", "regime", "random walk"),
    *("hour of day 28d", "hour of day moved", "hour of week", "fourier"),
)
_EVERY = 2  # lead hours that share a prediction
_MOST_ROWS = 30_000  # about a second, whatever the fleet
_LEAST_ROWS = 2_000
_FARTHEST = 5.0  # a target by more widths says no more than this
_LEAST_WIDTH = 0.02  # of a service's whole spread
_SETTINGS = {
    "max_iter": 60,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 200,
    "max_bins": 64,
    "early_stopping": False,
}


def asked(tables: dict[str, Singles], means: Singles, levels: Floats) -> Asked:
    """Features at an origin from the candidates' tables there, and the target from the hourly means
    that followed.
    """
    middle = level_index(levels, 0.5)
    base = expand(_BASE, tables[_BASE], _EVERY)[:, :, middle]
    width = tables[_WIDTH][:, 0, -1:] - tables[_WIDTH][:, 0, :1] + np.float32(_LEAST_WIDTH)
    said = [(expand(name, tables[name], _EVERY)[:, :, middle] - base) / width for name in _SAID]
    lead = np.broadcast_to(np.arange(0, WEEK, _EVERY, dtype=np.float32), base.shape)
    features = np.stack([*said, lead, lead % DAY, np.broadcast_to(width, base.shape)], axis=2)
    target = np.full(base.shape, np.nan, np.float32)
    known = means[:, :WEEK:_EVERY]
    target[:, : known.shape[1]] = np.clip(
        (known - base[:, : known.shape[1]]) / width, -_FARTHEST, _FARTHEST
    )
    return Asked(features, width, target)


def teach(chunks: list[ChunkCandidates], seed: int) -> Iterator[tuple[int, int, Singles]]:
    """Train, and answer where the answer is judged and for the coming week.

    Yields:
        hours before the end, number of the chunk, table (services, 168, quantiles); nothing where
        too little is known.
    """
    order = np.argsort(
        np.concatenate([np.nan_to_num(c.scaled.means).sum(axis=1) for c in chunks]), kind="stable"
    )
    for origin in (_JUDGED, 0):
        earlier = [back for back in TAUGHT if back > origin and back in chunks[0].asked]
        parts = [
            tuple(
                np.concatenate([getattr(c.asked[back], n) for c in chunks])[order]
                for n in ("features", "target")
            )
            for back in earlier
        ]
        features, target = (
            np.concatenate([p[i].reshape(-1, *p[i].shape[2:]) for p in parts]) for i in (0, 1)
        )
        model = _trained(features, target, seed)
        if model is None:
            return
        for number, chunk in enumerate(chunks):
            now = chunk.asked[origin]
            moved = (
                model.predict(now.features.reshape(-1, now.features.shape[2]))
                .reshape(now.target.shape)
                .astype(np.float32)
            )
            base = expand(_BASE, chunk.tables[origin][_BASE])
            yield origin, number, base + np.repeat(moved * now.width, _EVERY, axis=1)[:, :, None]


def _trained(features: Singles, target: Singles, seed: int) -> Any:
    """A model of the pooled rows, thinned evenly; None when there are too few."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    known = np.flatnonzero(np.isfinite(target))
    if len(known) < _LEAST_ROWS:
        return None
    rows = known[np.linspace(0, len(known) - 1, min(len(known), _MOST_ROWS)).astype(np.intp)]
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=seed, **_SETTINGS)
    with single_threaded():
        return model.fit(features[rows], target[rows])
