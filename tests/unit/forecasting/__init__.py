"""Tests of capacity.forecasting."""
