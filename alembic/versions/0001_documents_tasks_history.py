"""documents tasks history"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob")),
    )
    op.create_table(
        "config_version",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_config_version")),
    )
    op.create_table(
        "directory_stamp",
        sa.Column("single", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("single", name=op.f("ck_directory_stamp_single")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_directory_stamp")),
    )
    op.create_table(
        "idempotency",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("full_name", sa.String(length=100), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("clearance", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("clearance BETWEEN 0 AND 3", name=op.f("ck_person_clearance")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("username", name=op.f("uq_person_username")),
    )
    op.create_table(
        "register_counter",
        sa.Column("series", sa.String(length=80), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("series", "year", name=op.f("pk_register_counter")),
    )
    op.create_table(
        "unit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=35), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["unit.id"], name=op.f("fk_unit_parent_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
        sa.UniqueConstraint("code", name=op.f("uq_unit_code")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.String(length=30)), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["person.id"], name=op.f("fk_api_token_user_id_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    op.create_index(op.f("ix_api_token_user_id"), "api_token", ["user_id"], unique=False)
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("chain_hash", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("route", sa.String(length=63), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("owner_unit_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("step", sa.String(length=63), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step_needed", sa.Integer(), nullable=False),
        sa.Column("step_agreed", sa.Integer(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handlers_named", sa.Boolean(), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("document_type", sa.String(length=35), nullable=False),
        sa.Column("urgency", sa.String(length=20), nullable=False),
        sa.Column("secrecy", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=200), nullable=False),
        sa.Column("issuer_address", sa.String(length=320), nullable=False),
        sa.Column("number_symbol", sa.String(length=50), nullable=False),
        sa.Column("document_date", sa.Date(), nullable=True),
        sa.Column("answer_required", sa.Boolean(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("recipients", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("search", sa.String(), nullable=False),
        sa.Column("book", sa.String(length=80), nullable=True),
        sa.Column("book_year", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("notation", sa.String(length=50), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("main_file_id", sa.Uuid(), nullable=True),
        sa.Column("answer_file_id", sa.Uuid(), nullable=True),
        sa.Column("pinned_file_id", sa.Uuid(), nullable=True),
        sa.Column("signed_file_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("direction IN ('incoming', 'outgoing')", name=op.f("ck_document_direction")),
        sa.CheckConstraint(
            "state IN ('register', 'assign', 'review', 'sign', 'dispatch', "
            "'closed', 'returned', 'rejected', 'recalled')",
            name=op.f("ck_document_state"),
        ),
        sa.CheckConstraint("secrecy BETWEEN 0 AND 3", name=op.f("ck_document_secrecy")),
        sa.ForeignKeyConstraint(
            ["config_version"], ["config_version.number"], name=op.f("fk_document_config_version_config_version")
        ),
        sa.ForeignKeyConstraint(["owner_unit_id"], ["unit.id"], name=op.f("fk_document_owner_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
    )
    op.create_index(
        "ix_document_open_due", "document", ["due_at"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index("ix_document_reference", "document", ["number_symbol", "issuer"], unique=False)
    op.create_index(
        "ix_document_search",
        "document",
        ["search"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.create_index(op.f("ix_document_state_id"), "document", ["state", "id"], unique=False)
    op.create_table(
        "membership",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("position", sa.String(length=100), nullable=False),
        sa.Column("authorised_processor", sa.Boolean(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "role IN ('clerk', 'leader', 'unit_head', 'handler', 'supervisor', 'admin', 'integration')",
            name=op.f("ck_membership_role"),
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_membership_unit_id_unit")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["person.id"], name=op.f("fk_membership_user_id_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
        sa.UniqueConstraint("user_id", "unit_id", "role", name=op.f("uq_membership_user_id_unit_id_role")),
    )
    op.create_table(
        "rendition",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('text', 'preview', 'thumbnail')", name=op.f("ck_rendition_kind")),
        sa.CheckConstraint("state IN ('ready', 'failed', 'none')", name=op.f("ck_rendition_state")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_rendition_sha256_blob")),
        sa.ForeignKeyConstraint(["source_sha256"], ["blob.sha256"], name=op.f("fk_rendition_source_sha256_blob")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rendition")),
        sa.UniqueConstraint("source_sha256", "kind", name=op.f("uq_rendition_source_sha256_kind")),
    )
    op.create_table(
        "substitution",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("absent_id", sa.Uuid(), nullable=False),
        sa.Column("substitute_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.String(length=20)), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("absent_id <> substitute_id", name=op.f("ck_substitution_two_people")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_substitution_dates")),
        sa.ForeignKeyConstraint(["absent_id"], ["person.id"], name=op.f("fk_substitution_absent_id_person")),
        sa.ForeignKeyConstraint(["substitute_id"], ["person.id"], name=op.f("fk_substitution_substitute_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_substitution")),
    )
    op.create_table(
        "clock",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("policy", sa.String(length=63), nullable=False),
        sa.Column("allowance", sa.String(length=63), nullable=False),
        sa.Column("ladder", sa.String(length=63), nullable=True),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pauses", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("next_fire_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fired", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["config_version"], ["config_version.number"], name=op.f("fk_clock_config_version_config_version")
        ),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_clock_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
    op.create_index(
        "ix_clock_next_fire_at",
        "clock",
        ["next_fire_at"],
        unique=False,
        postgresql_where=sa.text("next_fire_at IS NOT NULL AND stopped_at IS NULL"),
    )
    op.create_index(
        "ix_clock_running", "clock", ["document_id"], unique=False, postgresql_where=sa.text("stopped_at IS NULL")
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("recipient", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'paper')", name=op.f("ck_delivery_channel")),
        sa.CheckConstraint("kind IN ('document', 'return', 'recall')", name=op.f("ck_delivery_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'delivered', 'read', 'refused', 'bounced', 'failed', 'cancelled')",
            name=op.f("ck_delivery_state"),
        ),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_delivery_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
    )
    op.create_index(op.f("ix_delivery_document_id"), "delivery", ["document_id"], unique=False)
    op.create_index(
        "ix_delivery_due", "delivery", ["next_attempt_at"], unique=False, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_table(
        "document_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("version_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.Column("derived_from", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("kind IN ('main', 'answer', 'attachment')", name=op.f("ck_document_file_kind")),
        sa.CheckConstraint("origin IN ('upload', 'intake', 'signature')", name=op.f("ck_document_file_origin")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_file_document_id_document")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_document_file_sha256_blob")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_file")),
    )
    op.create_index(op.f("ix_document_file_document_id"), "document_file", ["document_id"], unique=False)
    op.create_index(op.f("ix_document_file_sha256"), "document_file", ["sha256"], unique=False)
    op.create_index(
        "uq_document_file_version",
        "document_file",
        ["document_id", "kind", "version_no"],
        unique=True,
        postgresql_where=sa.text("kind <> 'attachment'"),
    )
    op.create_table(
        "document_reader",
        sa.Column("principal", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_reader_document_id_document")),
        sa.PrimaryKeyConstraint("principal", "document_id", name=op.f("pk_document_reader")),
    )
    op.create_index(op.f("ix_document_reader_document_id"), "document_reader", ["document_id"], unique=False)
    op.create_table(
        "flow_run",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("mirrored_seq", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_flow_run_document_id_document")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_flow_run")),
    )
    op.create_table(
        "history",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("acting_for_id", sa.Uuid(), nullable=True),
        sa.Column("acting_for", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("action", sa.String(length=30), nullable=False),
        sa.Column("state_from", sa.String(length=10), nullable=True),
        sa.Column("state_to", sa.String(length=10), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("run_id", sa.String(length=80), nullable=True),
        sa.Column("request_id", sa.String(length=80), nullable=True),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_history_document_id_document")),
        sa.PrimaryKeyConstraint("document_id", "seq", name=op.f("pk_history")),
    )
    op.create_index("ix_history_at", "history", ["at"], unique=False)
    op.create_table(
        "intake",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content_key", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("raw_sha256", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=998), nullable=True),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("envelope", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("defects", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('document', 'quarantine')", name=op.f("ck_intake_state")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_intake_document_id_document")),
        sa.ForeignKeyConstraint(["raw_sha256"], ["blob.sha256"], name=op.f("fk_intake_raw_sha256_blob")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake")),
        sa.UniqueConstraint("content_key", name=op.f("uq_intake_content_key")),
    )
    op.create_index(op.f("ix_intake_message_id"), "intake", ["message_id"], unique=False)
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_notification_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_notification_user_id_key")),
    )
    op.create_index(
        "ix_notification_unread",
        "notification",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.String(length=10), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("topic IN ('advance', 'mirror', 'render')", name=op.f("ck_outbox_topic")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_outbox_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_document_id"), "outbox", ["document_id"], unique=False)
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["topic", "available_at", "id"],
        unique=False,
        postgresql_where=sa.text("dead_at IS NULL"),
    )
    op.create_table(
        "register_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("book", sa.String(length=35), nullable=False),
        sa.Column("series", sa.String(length=80), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("notation", sa.String(length=50), nullable=True),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_by", sa.Uuid(), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_register_entry_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_register_entry")),
        sa.UniqueConstraint("series", "year", "number", name=op.f("uq_register_entry_series_year_number")),
    )
    op.create_index("ix_register_entry_book", "register_entry", ["book", "year", "number"], unique=False)
    op.create_index(op.f("ix_register_entry_document_id"), "register_entry", ["document_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("pool_role", sa.String(length=20), nullable=True),
        sa.Column("claimed", sa.Boolean(), nullable=False),
        sa.Column("step", sa.String(length=63), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("assigned_by", sa.Uuid(), nullable=True),
        sa.Column("directive", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.String(length=30), nullable=False),
        sa.CheckConstraint(
            "role IN ('stage', 'main', 'co', 'information', 'step', 'consult', 'extension')", name=op.f("ck_task_role")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'waiting', 'done', 'forwarded', 'cancelled')", name=op.f("ck_task_state")
        ),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_task_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index(
        "ix_task_active",
        "task",
        ["document_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'waiting')"),
    )
    op.create_index("ix_task_document_id", "task", ["document_id"], unique=False)
    op.create_index(
        "ix_task_inbox_pool",
        "task",
        ["unit_id", "pool_role", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open' AND user_id IS NULL"),
    )
    op.create_index(
        "ix_task_inbox_user",
        "task",
        ["user_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "escalation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("whom", sa.String(length=20), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["clock_id"], ["clock.id"], name=op.f("fk_escalation_clock_id_clock")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_escalation_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation")),
        sa.UniqueConstraint("clock_id", "step", name=op.f("uq_escalation_clock_id_step")),
    )
    op.create_index(op.f("ix_escalation_document_id"), "escalation", ["document_id"], unique=False)
    op.execute("INSERT INTO directory_stamp (single, version) VALUES (true, 1)")


def downgrade() -> None:
    op.drop_index(op.f("ix_escalation_document_id"), table_name="escalation")
    op.drop_table("escalation")
    op.drop_index("ix_task_inbox_user", table_name="task", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(
        "ix_task_inbox_pool", table_name="task", postgresql_where=sa.text("state = 'open' AND user_id IS NULL")
    )
    op.drop_index("ix_task_document_id", table_name="task")
    op.drop_index("ix_task_active", table_name="task", postgresql_where=sa.text("state IN ('open', 'waiting')"))
    op.drop_table("task")
    op.drop_index(op.f("ix_register_entry_document_id"), table_name="register_entry")
    op.drop_index("ix_register_entry_book", table_name="register_entry")
    op.drop_table("register_entry")
    op.drop_index("ix_outbox_due", table_name="outbox", postgresql_where=sa.text("dead_at IS NULL"))
    op.drop_index(op.f("ix_outbox_document_id"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_notification_unread", table_name="notification", postgresql_where=sa.text("read_at IS NULL"))
    op.drop_table("notification")
    op.drop_index(op.f("ix_intake_message_id"), table_name="intake")
    op.drop_table("intake")
    op.drop_index("ix_history_at", table_name="history")
    op.drop_table("history")
    op.drop_table("flow_run")
    op.drop_index(op.f("ix_document_reader_document_id"), table_name="document_reader")
    op.drop_table("document_reader")
    op.drop_index(
        "uq_document_file_version", table_name="document_file", postgresql_where=sa.text("kind <> 'attachment'")
    )
    op.drop_index(op.f("ix_document_file_sha256"), table_name="document_file")
    op.drop_index(op.f("ix_document_file_document_id"), table_name="document_file")
    op.drop_table("document_file")
    op.drop_index("ix_delivery_due", table_name="delivery", postgresql_where=sa.text("state = 'queued'"))
    op.drop_index(op.f("ix_delivery_document_id"), table_name="delivery")
    op.drop_table("delivery")
    op.drop_index("ix_clock_running", table_name="clock", postgresql_where=sa.text("stopped_at IS NULL"))
    op.drop_index(
        "ix_clock_next_fire_at",
        table_name="clock",
        postgresql_where=sa.text("next_fire_at IS NOT NULL AND stopped_at IS NULL"),
    )
    op.drop_table("clock")
    op.drop_table("substitution")
    op.drop_table("rendition")
    op.drop_table("membership")
    op.drop_index(op.f("ix_document_state_id"), table_name="document")
    op.drop_index(
        "ix_document_search", table_name="document", postgresql_using="gin", postgresql_ops={"search": "gin_trgm_ops"}
    )
    op.drop_index("ix_document_reference", table_name="document")
    op.drop_index("ix_document_open_due", table_name="document", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("document")
    op.drop_index(op.f("ix_api_token_user_id"), table_name="api_token")
    op.drop_table("api_token")
    op.drop_table("unit")
    op.drop_table("register_counter")
    op.drop_table("person")
    op.drop_index(op.f("ix_idempotency_created_at"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("directory_stamp")
    op.drop_table("config_version")
    op.drop_table("blob")
