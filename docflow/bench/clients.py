"""Eight clients, each a process of its own, each with its own documents; they start together and stop by the clock."""

import multiprocessing as mp
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

CLIENTS = 8

Work = Callable[..., Callable[[UUID, int], None]]
"""Called once in the client's process, gives the function that makes one move: (document, number of the move)."""


def rate(work: Work, documents: list[UUID], seconds: float, *args: Any) -> float:
    """Moves a second of all clients together, warm-up not counted."""
    context = mp.get_context("spawn")
    start = context.Event()
    results = context.Queue()
    ready = context.Barrier(CLIENTS + 1)
    share = [documents[i::CLIENTS] for i in range(CLIENTS)]
    processes = [
        context.Process(target=_client, args=(work, args, share[i], seconds, ready, start, results))
        for i in range(CLIENTS)
    ]
    for process in processes:
        process.start()
    ready.wait(timeout=120)
    start.set()
    rates = [results.get(timeout=seconds * 3 + 120) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    return float(sum(rates))


def _client(
    work: Work, args: tuple[Any, ...], documents: list[UUID], seconds: float, ready: Any, start: Any, results: Any
) -> None:
    do = work(*args)
    done = 0
    for _ in range(4):
        for document in documents:
            do(document, done // len(documents))
            done += 1
    ready.wait(timeout=120)
    start.wait()
    moves, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        turn = (done + moves) // len(documents)
        do(documents[(done + moves) % len(documents)], turn)
        moves += 1
    results.put(moves / (time.perf_counter() - began))
