"""Base models, their weights, the global model, conformal calibration and peaks."""
