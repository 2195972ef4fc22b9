"""The floor: pgbench running the transition's own two statements for the same round of moves, without any rules.

The payloads are the engine's own, recorded while it made one round; only ids and sequence numbers are put in by SQL.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from docflow.bench.bed import ROUND, Bed, Turn
from docflow.bench.clients import CLIENTS
from docflow.bootstrap import Container, now_utc
from docflow.db.base import new_id
from docflow.db.queries.context import CONTEXT
from docflow.db.queries.move import kinds_of, statement
from docflow.domain.decide import decide
from docflow.local.pg_binaries import find_binaries
from docflow.services.asked import Asked
from docflow.services.payload import payload_of
from docflow.services.transition import picture, read, write

Recorded = list[dict[str, Any]]
_SEQ = "900000001"
KNOWN = text("INSERT INTO bench_document SELECT :n, :id, id FROM task WHERE document_id = :id AND role = 'main'")
DOCUMENT = "(SELECT id FROM bench_document WHERE n = :n)"


def record(bed: Bed, container: Container, document: UUID) -> Recorded:
    """The payloads of one round on one document, after a first round that nobody counts."""
    turns = [_recorded(bed, container, document, turn) for turn in (*ROUND, *ROUND)]
    return turns[len(ROUND) :]


def _recorded(bed: Bed, container: Container, document: UUID, turn: Turn) -> dict[str, Any]:
    asked = Asked(now_utc(), "api", bed.users[turn.user])
    with container.sessions.begin() as session:
        context = read(session, document, asked)
        snapshot, actor = picture(session, container.pictures, context, asked)
        plan = decide(snapshot, actor, turn.action, turn.command, now=asked.now, new_id=new_id)
        payload = payload_of(context, plan, turn.action.value, asked)
        write(session, context, plan, turn.action.value, asked)
    told: dict[str, Any] = json.loads(json.dumps(payload, default=str))
    return told


def floor(bed: Bed, container: Container, documents: list[UUID], seconds: int, turn: int) -> float:
    """Moves a second of pgbench with as many clients as the engine has, on documents of its own."""
    recorded = record(bed, container, documents[0])
    mine = documents[1:]
    _prepare(container, mine, turn)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "round.sql"
        script.write_text(_script(recorded, len(mine)), encoding="utf-8")
        return _run(bed, script, seconds) * len(ROUND)


def _prepare(container: Container, documents: list[UUID], turn: int) -> None:
    """A row number for each document, so that a script can find it, and its main task under a name SQL can make."""
    with container.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE NONE"))
        if turn:
            connection.execute(text("DROP TABLE bench_document"))
        connection.execute(text("CREATE TABLE bench_document (n int PRIMARY KEY, id uuid, main uuid)"))
        connection.execute(text("GRANT SELECT ON bench_document TO docflow_app"))
        for n, document in enumerate(documents):
            row = {"n": n, "id": document}
            connection.execute(
                text(
                    "INSERT INTO bench_document SELECT :n, :id, id FROM task WHERE document_id = :id AND role = 'main'"
                ),
                row,
            )


def _script(recorded: Recorded, count: int) -> str:
    share = count // CLIENTS
    lines = [
        f"\\set n :client_id * {share} + random(0, {share - 1})",
    ]
    for payload in recorded:
        lines += ["BEGIN;", _context(), _move(payload), "COMMIT;"]
    return "\n".join(lines) + "\n"


def _context() -> str:
    sql = CONTEXT.replace("$1", DOCUMENT).replace("$2", "CAST(NULL AS uuid)").replace("$3", "CAST(NULL AS text)")
    return f"SELECT (context ->> 'seq')::int AS seq FROM ({sql}) c \\gset d_"


def _move(payload: dict[str, Any]) -> str:
    """The statement with the recorded payload; ids of tasks and clocks follow from the document and its ``seq``."""
    sql = statement(kinds_of(payload)).replace("$1", _payload(payload))
    return sql.replace("$2", DOCUMENT).replace("$3", ":d_seq").replace("$4", "now()") + ";"


def _payload(payload: dict[str, Any]) -> str:
    seq = payload["history"]["seq"]
    told = json.dumps(payload, ensure_ascii=False)
    told = told.replace(f'"seq": {seq}', f'"seq": {_SEQ}').replace("'", "''")
    literal = f"replace('{told}', '{_SEQ}', (:d_seq + 1)::text)"
    for kind in ("tasks", "clocks"):
        for row in payload[f"{kind}_opened"]:
            literal = _named(literal, row["id"], kind, "1")
        for row in payload["tasks_closed" if kind == "tasks" else "clocks_stopped"]:
            literal = _named(literal, row["id"], kind, "0")
    for row in payload["tasks_changed"]:
        literal = f"replace({literal}, '{row['id']}', {DOCUMENT.replace('SELECT id', 'SELECT main')}::text)"
    for notice in payload["notices"]:
        literal = f"replace({literal}, '{notice['id']}', gen_random_uuid()::text)"
        literal = f"replace({literal}, '{notice['key']}', gen_random_uuid()::text)"
    return literal


def _named(literal: str, uuid: str, kind: str, plus: str) -> str:
    return f"replace({literal}, '{uuid}', md5({DOCUMENT} || '{kind}' || (:d_seq + {plus}))::uuid::text)"


def _run(bed: Bed, script: Path, seconds: int) -> float:
    binaries = find_binaries()
    url = bed.settings.database_url.replace("postgresql+psycopg", "postgresql")
    options = "-c role=docflow_app -c plan_cache_mode=force_generic_plan -c jit=off"
    argv = [
        str(binaries / "pgbench"),
        *("-n", "-M", "prepared", "-f", str(script), "-c", str(CLIENTS), "-j", "2", "-T", str(seconds)),
        url,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PGOPTIONS": options}, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}")
    return float(found[1])
