"""The monitor's web face: who may ask, the dashboard, finished reports and the JSON interface."""
