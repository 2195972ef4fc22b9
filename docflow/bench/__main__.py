"""``docflow bench``: all measurements in one run, as ratios."""

import argparse

from rich.console import Console
from rich.table import Table

from docflow.bench import deadlines, delivery, http, intake, router, signing
from docflow.bench.bed import Bed, bed
from docflow.bench.clients import rate
from docflow.bench.engine import engine
from docflow.bench.floor import floor
from docflow.bench.peer import peer
from docflow.bootstrap import Container, build

PARTS = ("moves", "router", "deadlines", "intake", "delivery", "signing")
MEGABYTE = 1024 * 1024
EACH = 160
"""Documents of one measurement: twenty for each of eight clients."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="docflow bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="length of each throughput measurement")
    parser.add_argument("--rounds", type=int, default=2, help="how often floor, peer, engine and HTTP take turns")
    parser.add_argument("--backlog", type=int, default=2000, help="documents that wait when the worker starts")
    parser.add_argument("--skip-router", action="store_true", help="without Prefect")
    parser.add_argument("--clocks", type=int, default=10_000, help="deadlines that fall due, over --spread and at once")
    parser.add_argument("--spread", type=int, default=60, help="seconds over which they do")
    parser.add_argument("--mails", type=int, default=300, help="mails of 100 KB that come in")
    parser.add_argument("--deliveries", type=int, default=500, help="mails that go out")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    args = parser.parse_args()
    parts = {args.only} if args.only else set(PARTS) - ({"router"} if args.skip_router else set())
    console = Console()
    if "signing" in parts:
        console.print(signing.measure(args.seconds, args.rounds))
    if parts == {"signing"}:
        return
    with bed(prefect=not args.skip_router) as furnished:
        container = build(furnished.settings, name="bench")
        if "moves" in parts:
            console.print(_moves(furnished, container, args.seconds, args.rounds))
        if "router" in parts:
            console.print(_router(furnished, container, args.backlog))
        if "deadlines" in parts:
            for table in deadlines.measure(furnished, container, args.clocks, args.spread):
                console.print(table)
        if "intake" in parts:
            console.print(intake.measure(furnished, container, args.mails))
        if "delivery" in parts:
            console.print(delivery.measure(furnished, container, args.deliveries))
        container.close()


def _moves(bed: Bed, container: Container, seconds: int, rounds: int) -> Table:
    """The four take turns, so that a machine that changes its speed changes it for all."""
    sums = {"floor": 0.0, "peer": 0.0, "engine": 0.0, "http": 0.0}
    tokens = http.tokens(bed, container)
    with http.api(bed) as (port, process):
        for turn in range(rounds):
            sums["floor"] += floor(bed, container, bed.documents(container, EACH + 1), seconds, turn)
            sums["peer"] += rate(peer, bed.documents(container, EACH), seconds, bed.settings, bed.users)
            sums["engine"] += rate(engine, bed.documents(container, EACH), seconds, bed.settings, bed.users)
            sums["http"] += rate(http.client, bed.documents(container, EACH), seconds, port, tokens)
        memory = [size / MEGABYTE for size in http.resident(process)]
    table = Table(title=f"Moves a second, 8 clients, {rounds} turns of {seconds} s each", title_justify="left")
    for column in ("what", "moves/s", "of the floor", "of the peer", "goal"):
        table.add_column(column)
    goals = {"engine": "≥ 0.30 of the floor, ≥ 3 × the peer", "http": "≥ 0.15 of the floor"}
    for name, total in sums.items():
        of_floor, of_peer = total / sums["floor"], total / sums["peer"]
        table.add_row(name, f"{total / rounds:.0f}", f"{of_floor:.2f}", f"{of_peer:.1f}", goals.get(name, ""))
    table.add_row("API memory", " + ".join(f"{m:.0f} MB" for m in memory), "", "", "≤ 200 MB a process")
    return table


def _router(bed: Bed, container: Container, backlog: int) -> Table:
    with router.worker(bed) as process:
        router.drain(container)
        router.light(bed, container, 5, 0.1)
        p50, p95 = router.light(bed, container, 60, 0.1)
        memory = process.memory_info().rss / MEGABYTE
    gathered = [bed.draft(container, index) for index in range(backlog)]
    with router.worker(bed) as process:
        speed = router.backlog(container, gathered)
        loaded = process.memory_info().rss / MEGABYTE
        plain = [bed.draft(container, index) for index in range(41)]
    table = Table(title="Through the Prefect router", title_justify="left")
    for column in ("what", "measured", "goal"):
        table.add_column(column)
    table.add_row("commit to next automatic state, p50", f"{p50:.3f} s", "")
    table.add_row("commit to next automatic state, p95", f"{p95:.3f} s", "≤ 0.3 s")
    table.add_row(f"moves/s under a backlog of {backlog}", f"{speed:.0f}", "≥ 30")
    table.add_row("a flow run per move, moves/s", f"{router.run_per_move(bed, container, plain):.1f}", "(peer)")
    table.add_row("worker memory, light load / after the backlog", f"{memory:.0f} / {loaded:.0f} MB", "≤ 350 MB")
    return table


if __name__ == "__main__":
    main()
