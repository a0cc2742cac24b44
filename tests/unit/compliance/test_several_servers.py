"""What several Prometheus servers say of themselves is judged as one."""

from __future__ import annotations

from capacity.compliance._facts.monitoring import Alerting, Monitoring, Restarts, Target
from capacity.compliance._facts.probes import _joined, _with_hosts
from capacity.history._joined_sources import host_names


def server(address: str, rules: int, alertmanager: str, restarts: float) -> Monitoring:
    """What a server says that scrapes itself, as each does."""
    alerting = Alerting(rules, {}, (alertmanager,) if alertmanager else ())
    most = Restarts(10, 24, {"shop/web": restarts}, "q")
    target = Target("prometheus/localhost:9090", up=rules > 0)
    return Monitoring(address, (target,), alerting, restarts=most)


def test_the_weakest_of_several_servers_counts() -> None:
    """Targets stay apart by their sources, restarts are the highest, and one without rules or
    without an Alertmanager is not hidden by another.
    """
    found = [
        _with_hosts(said, host_names(name, None, several=True))
        for name, said in {
            "rack-a": server("http://a", 5, "http://alerts", 1),
            "rack-b": server("http://b", 0, "", 4),
        }.items()
    ]
    joined = _joined(found)
    assert joined.targets is not None
    assert [(target.name, target.up) for target in joined.targets] == [
        ("prometheus/rack-a:9090", True),
        ("prometheus/rack-b:9090", False),
    ]
    assert joined.alerting == Alerting(0, {}, ())
    assert joined.restarts is not None
    assert joined.restarts.most == {"shop/web": 4}
    assert joined.address == "http://a, http://b"
