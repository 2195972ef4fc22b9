"""Many documents with running clocks, copied by SQL from one that was led there by the engine itself."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from docflow.bench.bed import HANDLER, LEADER, Bed
from docflow.bootstrap import Container, now_utc
from docflow.db.base import Base
from docflow.db.models import Clock, Document, Task
from docflow.domain.commands import COMMANDS
from docflow.domain.lifecycle import Action
from docflow.services import register
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.transition import perform

CLERK = "vanthu1"
COPIES = """
CREATE TEMP TABLE copies ON COMMIT DROP AS
SELECT n, gen_random_uuid() AS document, gen_random_uuid() AS task FROM generate_series(0, :count - 1) n
"""


def _copy(table: type[Base], alias: str, source: str, **other: str) -> str:
    """Rows like those that ``source`` selects, with ``other`` values in some columns."""
    names = [column.name for column in table.__table__.columns]
    values = ", ".join(other.get(name, f"{alias}.{name}") for name in names)
    return f"INSERT INTO {table.__tablename__} ({', '.join(names)}) SELECT {values} FROM {source}"


DOCUMENTS = _copy(Document, "d", "document d, copies c WHERE d.id = :model", id="c.document")
TASKS = _copy(
    Task,
    "t",
    "task t, copies c WHERE t.document_id = :model AND t.role = 'main'",
    id="c.task",
    document_id="c.document",
)
CLOCKS = _copy(
    Clock,
    "k",
    "clock k, copies c, generate_series(1, :each) "
    "WHERE k.document_id = :model AND k.task_id IS NULL AND k.stopped_at IS NULL AND k.kind = 'work'",
    id="gen_random_uuid()",
    document_id="c.document",
    due_at=":due + c.n * :apart",
    next_fire_at=":due + c.n * :apart",
    fired="CAST(:fired AS jsonb)",
)


def model(bed: Bed, container: Container) -> UUID:
    """A registered letter at its handler's, with the ladder ``standard`` and ten working days to go."""
    now = now_utc()
    clerk, leader = bed.users[CLERK], bed.users[LEADER]
    new = NewDocument(direction="incoming", subject="Đo thời hạn", issuer="Sở Tài chính")
    with container.sessions.begin() as session:
        document = UUID(create(session, container.pictures, new, (), Asked(now, "api", clerk)).answer["id"])
    with container.sessions.begin() as session:
        command = COMMANDS[Action.REGISTER]()
        register.register(session, container.pictures, document, command, Asked(now, "api", clerk))  # type: ignore[arg-type]
    assign = COMMANDS[Action.ASSIGN].model_validate({"handlers": [{"role": "main", "user": HANDLER}]})
    with container.sessions.begin() as session:
        perform(session, container.pictures, document, Action.ASSIGN, assign, Asked(now, "api", leader))
    return document


def graze(
    container: Container, model: UUID, count: int, due: datetime, apart: timedelta = timedelta(), each: int = 1
) -> None:
    """``count`` documents whose clocks (``each`` on every one) fall due one after another, the reminders behind them.

    At ``due`` two steps of the ladder fire: it is marked overdue, and the unit head is told.
    """
    values = {"model": model, "count": count, "due": due, "apart": apart, "each": each, "fired": '{"0": 1, "1": 1}'}
    with container.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE NONE"))
        for statement in (COPIES, DOCUMENTS, TASKS, CLOCKS):
            connection.execute(text(statement), values)
    tidy(container)


def stop(container: Container, condition: str, when: datetime) -> None:
    """Stop the clocks whose next step is due ``condition`` (<= or >=) ``when``."""
    sql = f"UPDATE clock SET stopped_at = now(), next_fire_at = NULL WHERE next_fire_at {condition} :when"
    with container.engine.begin() as connection:
        connection.execute(text(sql), {"when": when})
    tidy(container)


def tidy(container: Container) -> None:
    """What autovacuum would do a moment later, and at a time of its own choosing."""
    with container.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET ROLE NONE"))
        for table in ("document", "task", "clock"):
            connection.execute(text(f"VACUUM ANALYZE {table}"))
        connection.execute(text("SET ROLE docflow_app"))
