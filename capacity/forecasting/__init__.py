"""What will happen: calibrated forecasts for a whole fleet at once. Frames in, frames out."""

from __future__ import annotations

from capacity.forecasting.forecaster import Forecaster

__all__ = ["Forecaster"]
