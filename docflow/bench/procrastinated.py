"""The peer in firing: Procrastinate, a queue on PostgreSQL, with a job of nothing for each deadline."""

import asyncio
import sys

from procrastinate import App, PsycopgConnector


async def main(url: str) -> None:
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="fire", queue="deadlines")
    async def fire() -> None:
        return None

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.run_worker_async(queues=["deadlines"], concurrency=8, fetch_job_polling_interval=1.0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
