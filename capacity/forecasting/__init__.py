"""What will happen: calibrated forecasts for a whole fleet at once. Frames in, frames out.

::

    f = Forecaster().fit(usage)          # usage: UTC grid x services, NaN = no sample
    f.predict("7D", every="1h")          # future grid x (service, quantile)
    f.predict_peak("7D")                 # service x quantile, of the maximum
    totals(f, {"project/service": "host"})
"""

from __future__ import annotations

from capacity.forecasting._forecaster import DEFAULT_QUANTILES, Forecaster
from capacity.forecasting._models.peak_distribution import PeakDistribution
from capacity.forecasting._persistence import hash_of
from capacity.forecasting._totals import totals

__all__ = ["DEFAULT_QUANTILES", "Forecaster", "PeakDistribution", "hash_of", "totals"]
