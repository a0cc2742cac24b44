"""Who owns a service, from a label of running containers: by an Engine, and by metrics that a real
Prometheus has scraped from the collector.
"""

from __future__ import annotations

from dataclasses import replace

from capacity import _api
from capacity.reporting._analysis.owners import NO_OWNER, Owners, find_owners
from capacity.settings import Settings
from tests.fixtures.running.fleet import Fleet
from tests.fixtures.running.servers import prometheus, wait_for
from tests.integration.collect.test_collect import collecting

TEAM = "com.example.team"
LABELLED = f"""
services:
  web:
    image: stack:latest
    network_mode: none
    labels: {{{TEAM}: Team Shop}}
    command: ["sleep", "600"]
  db:
    image: stack:latest
    network_mode: none
    command: ["sleep", "600"]
"""


def owner_settings(shop: Fleet, **more: object) -> Settings:
    """Settings that name the label, and a team for all that have none."""
    said = {
        "owners": {"label": TEAM},
        "services": {"shop/d*": {"owner": "Data"}},
        "engine": {"hosts": {"here": shop.engine.url}},
    }
    return Settings.model_validate({**said, **more})


def test_an_owner_is_that_of_the_running_containers(shop: Fleet) -> None:
    """The label goes before the glob; who has neither has no owner."""
    shop.up(LABELLED)
    history = replace(_api.open_history("sample", window="7D"), source="collected")
    owners = find_owners(owner_settings(shop), history)
    assert owners.notes == ()
    found = [owners.of(service) for service in ("shop/web", "shop/db", "shop/cache")]
    assert found == ["Team Shop", "Data", NO_OWNER]


def test_an_owner_is_read_from_scraped_metrics(shop: Fleet) -> None:
    """The collector serves the label as cAdvisor would, and the report asks Prometheus for it."""
    shop.up(LABELLED)
    with collecting(shop, CAPACITY_OWNERS__LABEL=TEAM) as (_, url):
        target = url.removeprefix("http://").removesuffix("/metrics")
        scrape = f"- {{job_name: capacity, static_configs: [{{targets: ['{target}']}}]}}"
        with prometheus(shop.folder / "prometheus", scrape_config=scrape) as server:
            history = replace(_api.open_history("sample", window="7D"), source=server.url)
            asked = owner_settings(shop, engine={}, prometheus={"url": server.url})

            def seen() -> Owners | None:
                found = find_owners(asked, history)
                return found if found.labelled else None

            owners = wait_for(seen, "owners", 60)
    assert owners.labelled == {"shop/web": "Team Shop"}
    assert owners.of("shop/db") == "Data"
