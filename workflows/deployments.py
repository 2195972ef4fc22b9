"""The slow flows on a Prefect work pool, to outgrow one machine: ``python -m workflows.deployments``.

Any machine with docflow installed and its settings set then takes part with
``prefect worker start --pool docflow --type process``. The router stays in ``docflow worker``: a process a run would
cost seconds where it takes milliseconds. ``prefect.yaml`` says the same for ``prefect deploy --all``.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import temporary_settings
from prefect.types.entrypoint import EntrypointType

from docflow.settings import Settings
from workflows.deliver import deliver
from workflows.engine import prefect_settings
from workflows.exchange import exchange_with_partners
from workflows.hand_out import hand_out
from workflows.intake_mailbox import intake_mailbox
from workflows.notify import call_webhooks, mail_notices
from workflows.recognise import recognise
from workflows.render import render
from workflows.renew import renew
from workflows.retain import retain
from workflows.sweep import sweep_once
from workflows.verify import verify

POOL = "docflow"
NAME = "pool"
# One run at a time of each: a run goes on until nothing is left, and claims keep two of them from the same work.
_ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


@dataclass(frozen=True, slots=True)
class Slow:
    flow: Flow[Any, Any]
    every: timedelta
    parameters: Mapping[str, Any]


SLOW = (
    Slow(deliver, timedelta(seconds=30), {"stay": False}),
    Slow(render, timedelta(seconds=30), {"stay": False}),
    Slow(verify, timedelta(seconds=30), {"stay": False}),
    Slow(recognise, timedelta(seconds=30), {"stay": False}),
    Slow(mail_notices, timedelta(seconds=30), {"stay": False}),
    Slow(call_webhooks, timedelta(seconds=30), {"stay": False}),
    Slow(exchange_with_partners, timedelta(seconds=30), {"stay": False}),
    Slow(hand_out, timedelta(seconds=30), {"stay": False}),
    Slow(retain, timedelta(seconds=30), {"stay": False}),
    Slow(renew, timedelta(minutes=10), {"stay": False}),
    Slow(intake_mailbox, timedelta(minutes=1), {"mailbox": "", "stay": False}),
    Slow(sweep_once, timedelta(minutes=1), {}),
)


async def deploy() -> list[str]:
    """Make the pool and the deployments, or bring them up to date. Returns their names."""
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    return [await _deploy(slow) for slow in SLOW]


async def _deploy(slow: Slow) -> str:
    deployment = await slow.flow.ato_deployment(
        NAME,
        interval=slow.every,
        parameters=dict(slow.parameters),
        concurrency_limit=_ONE,
        work_pool_name=POOL,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await deployment.aapply()
    return f"{slow.flow.name}/{NAME}"


def main() -> int:
    settings = Settings()
    if not settings.prefect_api_url:
        sys.stderr.write("No Prefect server is set. Set DOCFLOW_PREFECT_API_URL, for example http://host:4200/api.\n")
        return 2
    with temporary_settings(prefect_settings(settings)):
        names = asyncio.run(deploy())
    sys.stdout.write("".join(f"{name}\n" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
