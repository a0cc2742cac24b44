"""A metrics server that speaks the Prometheus API: client, transport, parser."""
