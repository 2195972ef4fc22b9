"""letters that come in"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


CHECKS = {
    ("outbox", "topic"): (
        "topic IN ('advance', 'mirror', 'render', 'exchange', 'recognise', 'index')",
        "topic IN ('advance', 'mirror', 'render')",
    ),
    ("delivery", "kind"): (
        "kind IN ('document', 'return', 'recall', 'acknowledge')",
        "kind IN ('document', 'return', 'recall')",
    ),
    ("delivery", "channel"): ("channel IN ('email', 'paper', 'edxml')", "channel IN ('email', 'paper')"),
    ("rendition", "kind"): (
        "kind IN ('text', 'preview', 'thumbnail', 'ocr')",
        "kind IN ('text', 'preview', 'thumbnail')",
    ),
    ("intake", "state"): (
        "state IN ('document', 'linked', 'quarantine', 'rejected')",
        "state IN ('document', 'quarantine')",
    ),
}
KINDS_OF_INTAKE = "kind IN ('mail', 'edxml', 'file')"
ARRIVED = """
INSERT INTO arrival (id, intake_id, raw_sha256, channel, source, place, moved_to, envelope, received_at)
SELECT gen_random_uuid(), id, raw_sha256, channel, '', '', '', envelope, received_at FROM intake
"""
INDEXED = """
INSERT INTO outbox (topic, document_id, seq, state, created_at, available_at, attempts, last_error)
SELECT 'index', id, seq, state, now(), now(), 0, '' FROM document
"""
LEFT_OUT = (
    "DELETE FROM outbox WHERE topic IN ('exchange', 'recognise', 'index')",
    "DELETE FROM delivery WHERE kind = 'acknowledge' OR channel = 'edxml'",
    "DELETE FROM rendition WHERE kind = 'ocr'",
    "UPDATE intake SET state = 'document' WHERE state = 'linked'",
    "UPDATE intake SET state = 'quarantine' WHERE state = 'rejected'",
)


def _checks(which: int) -> None:
    for (table, column), texts in CHECKS.items():
        name = op.f(f"ck_{table}_{column}")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, texts[which])


def upgrade() -> None:
    op.create_table(
        "mailbox_mark",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=True),
        sa.Column("last_uid", sa.BigInteger(), nullable=False),
        sa.Column("troubles", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_mailbox_mark")),
    )
    op.create_table(
        "mailbox_proof",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mailbox", sa.String(length=63), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("recovered", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("findings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox_proof")),
        sa.UniqueConstraint("mailbox", "day", name=op.f("uq_mailbox_proof_mailbox_day")),
    )
    op.create_table(
        "document_relation",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('answers', 'replaces', 'updates', 'revokes', 'repeats', 'relates')",
            name=op.f("ck_document_relation_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_document_relation_document_id_document")
        ),
        sa.ForeignKeyConstraint(["other_id"], ["document.id"], name=op.f("fk_document_relation_other_id_document")),
        sa.PrimaryKeyConstraint("document_id", "other_id", "kind", name=op.f("pk_document_relation")),
    )
    op.create_index(op.f("ix_document_relation_other_id"), "document_relation", ["other_id"], unique=False)
    op.create_table(
        "document_text",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.Column("exact", postgresql.TSVECTOR(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_text_document_id_document")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_document_text")),
    )
    op.create_index(op.f("ix_document_text_words"), "document_text", ["words"], unique=False, postgresql_using="gin")
    op.create_index(op.f("ix_document_text_exact"), "document_text", ["exact"], unique=False, postgresql_using="gin")
    op.create_table(
        "arrival",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("intake_id", sa.Uuid(), nullable=False),
        sa.Column("raw_sha256", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("place", sa.String(length=1000), nullable=False),
        sa.Column("moved_to", sa.String(length=1000), nullable=False),
        sa.Column("envelope", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_arrival_intake_id_intake")),
        sa.ForeignKeyConstraint(["raw_sha256"], ["blob.sha256"], name=op.f("fk_arrival_raw_sha256_blob")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
    )
    op.create_index(op.f("ix_arrival_intake_id"), "arrival", ["intake_id"], unique=False)
    op.create_index(
        "ix_arrival_moved_to",
        "arrival",
        ["channel", "source", "moved_to"],
        unique=False,
        postgresql_where=sa.text("moved_to <> ''"),
    )
    op.create_index(op.f("ix_arrival_raw_sha256"), "arrival", ["raw_sha256"], unique=False)
    op.create_index(
        "uq_arrival_place",
        "arrival",
        ["channel", "source", "place"],
        unique=True,
        postgresql_where=sa.text("place <> ''"),
    )
    op.create_table(
        "exchange_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("partner", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("status_code", sa.String(length=2), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('new', 'revoke', 'update', 'replace', 'status')", name=op.f("ck_exchange_message_kind")
        ),
        sa.CheckConstraint("state IN ('queued', 'sent', 'failed')", name=op.f("ck_exchange_message_state")),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_exchange_message_delivery_id_delivery")
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_exchange_message_document_id_document")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_message")),
        sa.UniqueConstraint("key", name=op.f("uq_exchange_message_key")),
    )
    op.create_index(op.f("ix_exchange_message_document_id"), "exchange_message", ["document_id"], unique=False)
    op.create_index(
        "ix_exchange_message_due",
        "exchange_message",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.alter_column("delivery", "kind", existing_type=sa.String(length=10), type_=sa.String(length=12))
    op.add_column("delivery", sa.Column("status_code", sa.String(length=2), nullable=False, server_default=""))
    op.create_index("ix_delivery_address", "delivery", [sa.text("lower(address)"), "created_at"], unique=False)
    op.create_index(
        "ix_delivery_acknowledged",
        "delivery",
        ["address", "created_at"],
        unique=False,
        postgresql_where=sa.text("kind = 'acknowledge'"),
    )
    op.create_index(op.f("ix_delivery_message_id"), "delivery", ["message_id"], unique=False)
    op.add_column("document", sa.Column("exchange", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("intake", sa.Column("kind", sa.String(length=5), nullable=False, server_default="mail"))
    op.add_column("intake", sa.Column("reason_code", sa.String(length=40), nullable=False, server_default=""))
    op.add_column("intake", sa.Column("scan", sa.String(length=10), nullable=False, server_default=""))
    op.add_column("intake", sa.Column("rule", sa.String(length=63), nullable=True))
    op.add_column("intake", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("intake", sa.Column("decided_by", sa.Uuid(), nullable=True))
    op.add_column("intake", sa.Column("decision", sa.String(), nullable=False, server_default=""))
    op.create_index(op.f("ix_intake_document_id"), "intake", ["document_id"], unique=False)
    op.create_index(op.f("ix_intake_received_at"), "intake", ["received_at"], unique=False)
    op.create_index(
        "ix_intake_apart", "intake", ["state", "id"], unique=False, postgresql_where=sa.text("state <> 'document'")
    )
    op.create_index(
        "ix_intake_words",
        "intake",
        ["sender", "subject"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"sender": "gin_trgm_ops", "subject": "gin_trgm_ops"},
    )
    op.create_index(op.f("ix_intake_raw_sha256"), "intake", ["raw_sha256"], unique=False)
    op.create_check_constraint(op.f("ck_intake_kind"), "intake", KINDS_OF_INTAKE)
    _checks(0)
    op.execute(ARRIVED)
    op.execute(INDEXED)
    op.execute("REVOKE DELETE ON intake, arrival, mailbox_proof FROM docflow_app")


def downgrade() -> None:
    op.drop_table("exchange_message")
    for sql in LEFT_OUT:
        op.execute(sql)
    _checks(1)
    op.drop_constraint(op.f("ck_intake_kind"), "intake", type_="check")
    op.drop_index(op.f("ix_intake_raw_sha256"), table_name="intake")
    op.drop_index(
        "ix_intake_words",
        table_name="intake",
        postgresql_using="gin",
        postgresql_ops={"sender": "gin_trgm_ops", "subject": "gin_trgm_ops"},
    )
    op.drop_index("ix_intake_apart", table_name="intake", postgresql_where=sa.text("state <> 'document'"))
    op.drop_index(op.f("ix_intake_received_at"), table_name="intake")
    op.drop_index(op.f("ix_intake_document_id"), table_name="intake")
    op.drop_column("intake", "decision")
    op.drop_column("intake", "decided_by")
    op.drop_column("intake", "decided_at")
    op.drop_column("intake", "rule")
    op.drop_column("intake", "scan")
    op.drop_column("intake", "reason_code")
    op.drop_column("intake", "kind")
    op.drop_column("document", "exchange")
    op.drop_index(op.f("ix_delivery_message_id"), table_name="delivery")
    op.drop_index("ix_delivery_address", table_name="delivery")
    op.drop_index("ix_delivery_acknowledged", table_name="delivery", postgresql_where=sa.text("kind = 'acknowledge'"))
    op.drop_column("delivery", "status_code")
    op.alter_column("delivery", "kind", existing_type=sa.String(length=12), type_=sa.String(length=10))
    op.drop_index("uq_arrival_place", table_name="arrival", postgresql_where=sa.text("place <> ''"))
    op.drop_index(op.f("ix_arrival_raw_sha256"), table_name="arrival")
    op.drop_index("ix_arrival_moved_to", table_name="arrival", postgresql_where=sa.text("moved_to <> ''"))
    op.drop_index(op.f("ix_arrival_intake_id"), table_name="arrival")
    op.drop_table("arrival")
    op.drop_index(op.f("ix_document_text_exact"), table_name="document_text", postgresql_using="gin")
    op.drop_index(op.f("ix_document_text_words"), table_name="document_text", postgresql_using="gin")
    op.drop_table("document_text")
    op.drop_index(op.f("ix_document_relation_other_id"), table_name="document_relation")
    op.drop_table("document_relation")
    op.drop_table("mailbox_proof")
    op.drop_table("mailbox_mark")
