"""The server starts with the pinned versions, and the slow flows can be put on a work pool."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from prefect.settings import temporary_settings

from docflow.bootstrap import Container
from docflow.local.prefect import LocalPrefect
from workflows.deployments import POOL, SLOW, deploy
from workflows.engine import prefect_settings

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]
ROOT = Path(__file__).parents[2]


def test_the_server_starts_with_the_pinned_versions(prefect_server: LocalPrefect) -> None:
    assert urllib3.request("GET", f"{prefect_server.api_url}/health").json() is True
    assert urllib3.request("GET", f"{prefect_server.api_url}/admin/version").json() == version("prefect")
    assert urllib3.request("GET", f"{prefect_server.api_url}/ready").status == 200


def test_the_slow_flows_are_deployed_to_a_process_pool_and_again_without_harm(with_prefect: Container) -> None:
    with temporary_settings(prefect_settings(with_prefect.settings)):
        pooled = "deliver render verify recognise mail_notices call_webhooks exchange hand_out retain renew"
        names = [*pooled.split(), "intake_mailbox", "sweep"]
        assert asyncio.run(deploy()) == [f"{name}/pool" for name in names]
        asyncio.run(deploy())
    api = with_prefect.settings.prefect_api_url
    assert urllib3.request("GET", f"{api}/work_pools/{POOL}").json()["type"] == "process"
    found: list[dict[str, Any]] = urllib3.request("POST", f"{api}/deployments/filter", json={}).json()
    assert sorted(d["entrypoint"] for d in found) == [
        "workflows.deliver.deliver",
        "workflows.exchange.exchange_with_partners",
        "workflows.hand_out.hand_out",
        "workflows.intake_mailbox.intake_mailbox",
        "workflows.notify.call_webhooks",
        "workflows.notify.mail_notices",
        "workflows.recognise.recognise",
        "workflows.render.render",
        "workflows.renew.renew",
        "workflows.retain.retain",
        "workflows.sweep.sweep_once",
        "workflows.verify.verify",
    ]
    assert {d["work_pool_name"] for d in found} == {POOL}


def test_the_yaml_file_says_the_same_as_the_code() -> None:
    said = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    flows = [slow.flow.fn for slow in SLOW]
    assert [d["entrypoint"] for d in said] == [f"{f.__module__.replace('.', '/')}.py:{f.__name__}" for f in flows]
    assert [d["schedules"][0]["interval"] for d in said] == [int(slow.every.total_seconds()) for slow in SLOW]
    assert {d["work_pool"]["name"] for d in said} == {POOL}
