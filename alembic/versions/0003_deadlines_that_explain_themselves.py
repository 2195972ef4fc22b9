"""deadlines that explain themselves"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# Equal calendars in a row count as one: the first of them gives its number.
CALENDAR_VERSIONS = """
UPDATE config_version v SET calendar_version = r.first FROM (
  SELECT number, max(number) FILTER (WHERE fresh) OVER (ORDER BY number) AS first FROM (
    SELECT number, content -> 'calendar' IS DISTINCT FROM lag(content -> 'calendar') OVER (ORDER BY number) AS fresh
    FROM config_version) n) r
WHERE r.number = v.number
"""
FIRED_BY_STEP = """
UPDATE clock SET fired = (SELECT coalesce(jsonb_object_agg(step, 1), '{}') FROM jsonb_array_elements_text(fired) step)
"""
FIRED_LISTED = """
UPDATE clock SET fired = (SELECT coalesce(jsonb_agg(CAST(step AS int)), '[]') FROM jsonb_object_keys(fired) step)
"""
PAUSES_NAMED = """
UPDATE clock SET pauses = (SELECT jsonb_agg(jsonb_build_object('from', p -> 0, 'to', p -> 1, 'reason', ''))
                           FROM jsonb_array_elements(pauses) p) WHERE pauses <> '[]'
"""
PAUSES_PAIRED = """
UPDATE clock SET pauses = (SELECT jsonb_agg(jsonb_build_array(p -> 'from', p -> 'to'))
                           FROM jsonb_array_elements(pauses) p) WHERE pauses <> '[]'
"""
STAGES_ENTERED = """
UPDATE document d SET stage_since = (SELECT max(at) FROM history h WHERE h.document_id = d.id
                                     AND h.state_from IS DISTINCT FROM h.state_to)
WHERE d.ended_at IS NULL AND d.held_at IS NULL
"""
UNREAD = "published_at IS NOT NULL AND collected_in IS NULL AND read_at IS NULL"


def _add(table: str, column: "sa.Column[object]", meanwhile: str) -> None:
    """A column that stored rows get a value for; new rows are given theirs by the application."""
    column.server_default = sa.DefaultClause(sa.text(meanwhile))
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)


def _change_config_versions(sql: str) -> None:
    op.execute("ALTER TABLE config_version DISABLE TRIGGER config_version_append_only")
    op.execute(sql)
    op.execute("ALTER TABLE config_version ENABLE TRIGGER config_version_append_only")


def upgrade() -> None:
    op.create_table(
        "notice_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'sent', 'failed')", name=op.f("ck_notice_mail_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_mail")),
    )
    op.create_index(
        "ix_notice_mail_due",
        "notice_mail",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "uq_notice_mail_digest",
        "notice_mail",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("state = 'queued' AND digest AND attempts = 0"),
    )
    op.create_table(
        "notification_preference",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("in_app", sa.Boolean(), nullable=False),
        sa.Column("email", sa.String(length=10), nullable=False),
        sa.CheckConstraint("email IN ('now', 'digest', 'off')", name=op.f("ck_notification_preference_email")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["person.id"], name=op.f("fk_notification_preference_user_id_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "kind", name=op.f("pk_notification_preference")),
    )
    op.create_table(
        "recalculation",
        sa.Column("calendar_version", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_by", sa.Uuid(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("clocks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["calendar_version"],
            ["config_version.number"],
            name=op.f("fk_recalculation_calendar_version_config_version"),
        ),
        sa.PrimaryKeyConstraint("calendar_version", name=op.f("pk_recalculation")),
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("events", sa.ARRAY(sa.String(length=40)), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["person.id"], name=op.f("fk_webhook_user_id_person"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index(op.f("ix_webhook_user_id"), "webhook", ["user_id"], unique=False)
    op.create_table(
        "stage_time",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("working_seconds", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_stage_time_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_time")),
    )
    op.create_index(op.f("ix_stage_time_document_id"), "stage_time", ["document_id"], unique=False)
    op.create_index(op.f("ix_stage_time_left_at"), "stage_time", ["left_at"], unique=False)
    op.create_table(
        "urging",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("grade", sa.String(length=10), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        sa.Column("urged_by", sa.Uuid(), nullable=True),
        sa.Column("urged_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("grade IN ('reminder', 'criticism', 'review')", name=op.f("ck_urging_grade")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_urging_document_id_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_urging")),
    )
    op.create_index(op.f("ix_urging_document_id"), "urging", ["document_id"], unique=False)
    op.create_table(
        "webhook_call",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'delivered', 'failed')", name=op.f("ck_webhook_call_state")),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_call_webhook_id_webhook"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_call")),
        sa.UniqueConstraint("webhook_id", "key", name=op.f("uq_webhook_call_webhook_id_key")),
    )
    op.create_index(
        "ix_webhook_call_due",
        "webhook_call",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    _add("clock", sa.Column("kind", sa.String(length=12), nullable=False), "'work'")
    _add("clock", sa.Column("calendar", sa.String(length=200), nullable=False), "''")
    _add("clock", sa.Column("calendar_version", sa.Integer(), nullable=False), "1")
    _add("clock", sa.Column("pause_reason", sa.String(length=1000), nullable=False), "''")
    op.create_index(
        "ix_clock_calendar_version",
        "clock",
        ["calendar_version"],
        unique=False,
        postgresql_where=sa.text("stopped_at IS NULL"),
    )
    op.create_index("ix_clock_document_id", "clock", ["document_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_clock_calendar_version_config_version"), "clock", "config_version", ["calendar_version"], ["number"]
    )
    _add("config_version", sa.Column("calendar_version", sa.Integer(), nullable=False), "1")
    op.add_column("document", sa.Column("stage_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("document", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_document_due_at", "document", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    _add("escalation", sa.Column("turn", sa.Integer(), nullable=False), "0")
    op.drop_constraint(op.f("uq_escalation_clock_id_step"), "escalation", type_="unique")
    op.create_unique_constraint(op.f("uq_escalation_clock_id_step_turn"), "escalation", ["clock_id", "step", "turn"])
    _add("notification", sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False), "'{}'")
    _add("notification", sa.Column("urgent", sa.Boolean(), nullable=False), "false")
    op.add_column("notification", sa.Column("instead_of", sa.Uuid(), nullable=True))
    _add("notification", sa.Column("deliver_at", sa.DateTime(timezone=True), nullable=False), "now()")
    op.add_column("notification", sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("notification", sa.Column("passed_on_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("notification", sa.Column("collected_in", sa.Uuid(), nullable=True))
    op.add_column("notification", sa.Column("mail_id", sa.Uuid(), nullable=True))
    op.alter_column("notification", "document_id", existing_type=sa.UUID(), nullable=True)
    op.create_index(
        "ix_notification_collected_in",
        "notification",
        ["collected_in"],
        unique=False,
        postgresql_where=sa.text("collected_in IS NOT NULL"),
    )
    op.create_index(
        "ix_notification_mail_id",
        "notification",
        ["mail_id"],
        unique=False,
        postgresql_where=sa.text("mail_id IS NOT NULL"),
    )
    op.create_index(
        "ix_notification_pending",
        "notification",
        ["deliver_at"],
        unique=False,
        postgresql_where=sa.text("passed_on_at IS NULL"),
    )
    op.create_index(
        "ix_notification_shown",
        "notification",
        ["user_id", "published_at", "id"],
        unique=False,
        postgresql_where=sa.text("published_at IS NOT NULL AND collected_in IS NULL"),
    )
    op.create_foreign_key(
        op.f("fk_notification_collected_in_notification"), "notification", "notification", ["collected_in"], ["id"]
    )
    op.create_foreign_key(
        op.f("fk_notification_mail_id_notice_mail"), "notification", "notice_mail", ["mail_id"], ["id"]
    )
    op.drop_index("ix_notification_unread", table_name="notification")
    op.create_index("ix_notification_unread", "notification", ["user_id", "id"], postgresql_where=sa.text(UNREAD))
    op.create_index("ix_task_due_at", "task", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index("ix_task_closed_at", "task", ["closed_at"], postgresql_where=sa.text("closed_at IS NOT NULL"))
    op.create_index("ix_escalation_fired_at", "escalation", ["fired_at"])
    # Rows that fire often stay on their page, and their indexes as they are.
    op.execute("ALTER TABLE clock SET (fillfactor = 80)")
    op.execute("ALTER TABLE document SET (fillfactor = 80)")
    _change_config_versions(CALENDAR_VERSIONS)
    op.execute("UPDATE clock SET calendar_version = (SELECT max(calendar_version) FROM config_version)")
    op.execute(FIRED_BY_STEP)
    op.execute(PAUSES_NAMED)
    op.execute(STAGES_ENTERED)
    op.execute("UPDATE notification SET deliver_at = created_at, published_at = created_at, passed_on_at = created_at")
    op.execute("REVOKE UPDATE, DELETE ON urging, stage_time FROM docflow_app")
    op.execute("REVOKE DELETE ON recalculation FROM docflow_app")


def downgrade() -> None:
    op.execute(PAUSES_PAIRED)
    op.execute(FIRED_LISTED)
    op.execute("UPDATE notification SET collected_in = NULL")
    op.execute("DELETE FROM notification WHERE document_id IS NULL")
    op.execute("ALTER TABLE clock RESET (fillfactor)")
    op.execute("ALTER TABLE document RESET (fillfactor)")
    op.drop_index("ix_notification_unread", table_name="notification")
    op.drop_index("ix_escalation_fired_at", table_name="escalation")
    op.drop_index("ix_task_closed_at", table_name="task")
    op.drop_index("ix_task_due_at", table_name="task", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_constraint(op.f("fk_notification_mail_id_notice_mail"), "notification", type_="foreignkey")
    op.drop_constraint(op.f("fk_notification_collected_in_notification"), "notification", type_="foreignkey")
    op.drop_index(
        "ix_notification_shown",
        table_name="notification",
        postgresql_where=sa.text("published_at IS NOT NULL AND collected_in IS NULL"),
    )
    op.drop_index(
        "ix_notification_pending", table_name="notification", postgresql_where=sa.text("passed_on_at IS NULL")
    )
    op.drop_index("ix_notification_mail_id", table_name="notification", postgresql_where=sa.text("mail_id IS NOT NULL"))
    op.drop_index(
        "ix_notification_collected_in", table_name="notification", postgresql_where=sa.text("collected_in IS NOT NULL")
    )
    op.alter_column("notification", "document_id", existing_type=sa.UUID(), nullable=False)
    op.drop_column("notification", "mail_id")
    op.drop_column("notification", "collected_in")
    op.drop_column("notification", "passed_on_at")
    op.drop_column("notification", "published_at")
    op.drop_column("notification", "deliver_at")
    op.drop_column("notification", "instead_of")
    op.drop_column("notification", "urgent")
    op.drop_column("notification", "data")
    op.create_index(
        "ix_notification_unread", "notification", ["user_id", "id"], postgresql_where=sa.text("read_at IS NULL")
    )
    op.execute("DELETE FROM escalation WHERE turn > 0")
    op.drop_constraint(op.f("uq_escalation_clock_id_step_turn"), "escalation", type_="unique")
    op.create_unique_constraint(op.f("uq_escalation_clock_id_step"), "escalation", ["clock_id", "step"])
    op.drop_column("escalation", "turn")
    op.drop_index("ix_document_due_at", table_name="document", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_column("document", "archived_at")
    op.drop_column("document", "stage_since")
    op.drop_column("config_version", "calendar_version")
    op.drop_constraint(op.f("fk_clock_calendar_version_config_version"), "clock", type_="foreignkey")
    op.drop_index("ix_clock_document_id", table_name="clock")
    op.drop_index("ix_clock_calendar_version", table_name="clock", postgresql_where=sa.text("stopped_at IS NULL"))
    op.drop_column("clock", "pause_reason")
    op.drop_column("clock", "calendar_version")
    op.drop_column("clock", "calendar")
    op.drop_column("clock", "kind")
    op.drop_index("ix_webhook_call_due", table_name="webhook_call", postgresql_where=sa.text("state = 'queued'"))
    op.drop_table("webhook_call")
    op.drop_index(op.f("ix_urging_document_id"), table_name="urging")
    op.drop_table("urging")
    op.drop_index(op.f("ix_stage_time_left_at"), table_name="stage_time")
    op.drop_index(op.f("ix_stage_time_document_id"), table_name="stage_time")
    op.drop_table("stage_time")
    op.drop_index(op.f("ix_webhook_user_id"), table_name="webhook")
    op.drop_table("webhook")
    op.drop_table("recalculation")
    op.drop_table("notification_preference")
    op.drop_index(
        "uq_notice_mail_digest",
        table_name="notice_mail",
        postgresql_where=sa.text("state = 'queued' AND digest AND attempts = 0"),
    )
    op.drop_index("ix_notice_mail_due", table_name="notice_mail", postgresql_where=sa.text("state = 'queued'"))
    op.drop_table("notice_mail")
