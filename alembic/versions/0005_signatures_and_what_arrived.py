"""signatures and what arrived"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TOPICS = "topic IN ('advance', 'mirror', 'render', 'exchange', 'recognise', 'index'{})"
RELATIONS = "kind IN ('answers', 'replaces', {}'updates', 'revokes', 'repeats', 'relates')"
CHECKS = {
    ("outbox", "topic"): (TOPICS.format(", 'verify'"), TOPICS.format("")),
    ("delivery", "kind"): (
        "kind IN ('document', 'return', 'recall', 'acknowledge', 'code')",
        "kind IN ('document', 'return', 'recall', 'acknowledge')",
    ),
    ("delivery", "channel"): (
        "channel IN ('email', 'paper', 'edxml', 'webhook', 'portal')",
        "channel IN ('email', 'paper', 'edxml')",
    ),
    ("rendition", "kind"): (
        "kind IN ('text', 'preview', 'thumbnail', 'ocr', 'pdf')",
        "kind IN ('text', 'preview', 'thumbnail', 'ocr')",
    ),
    ("document_file", "origin"): (
        "origin IN ('upload', 'intake', 'signature', 'number', 'seal', 'renewal')",
        "origin IN ('upload', 'intake', 'signature')",
    ),
    ("document_relation", "kind"): (RELATIONS.format("'corrects', "), RELATIONS.format("")),
}
EVENTS = (
    "kind IN ('attempt', 'sent', 'deferred', 'refused', 'failed', 'bounced', 'delivered', 'read', 'posted', "
    "'received', 'opened', 'code', 'answered', 'retried', 'given_up', 'cancelled')"
)
CLOCKS = "kind IN ('work', 'acknowledge', 'archive', 'answer')"
CAPACITIES = "capacity IN ('', 'head', 'TM', 'Q', 'KT', 'TL', 'TUQ')"
LEFT_OUT = (
    "DELETE FROM outbox WHERE topic = 'verify'",
    "DELETE FROM delivery WHERE kind = 'code' OR channel IN ('webhook', 'portal')",
    "DELETE FROM rendition WHERE kind = 'pdf'",
    "UPDATE document_file SET origin = 'signature' WHERE origin IN ('number', 'seal', 'renewal')",
    "DELETE FROM document_relation WHERE kind = 'corrects'",
    "DELETE FROM escalation e USING clock c WHERE c.id = e.clock_id AND c.kind = 'answer'",
    "DELETE FROM clock WHERE kind = 'answer'",
)


def _checks(which: int) -> None:
    for (table, column), texts in CHECKS.items():
        name = op.f(f"ck_{table}_{column}")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, texts[which])


def upgrade() -> None:
    op.create_table(
        "stamp_image",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("width_mm", sa.Double(), nullable=False),
        sa.Column("height_mm", sa.Double(), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_stamp_image_sha256_blob")),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_stamp_image")),
    )
    op.create_table(
        "verification",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("trust", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=False),
        sa.Column("reports", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_verification_sha256_blob")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_verification")),
    )
    op.create_table(
        "delegation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("delegator_id", sa.Uuid(), nullable=False),
        sa.Column("delegate_id", sa.Uuid(), nullable=False),
        sa.Column("capacity", sa.String(length=4), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document_types", sa.ARRAY(sa.String(length=63)), nullable=False),
        sa.Column("content", sa.String(length=1000), nullable=False),
        sa.Column("basis", sa.String(length=100), nullable=False),
        sa.Column("basis_date", sa.Date(), nullable=False),
        sa.Column("basis_document_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("capacity IN ('Q', 'KT', 'TL', 'TUQ')", name=op.f("ck_delegation_capacity")),
        sa.CheckConstraint("delegator_id <> delegate_id", name=op.f("ck_delegation_two_people")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_delegation_dates")),
        sa.ForeignKeyConstraint(
            ["basis_document_id"], ["document.id"], name=op.f("fk_delegation_basis_document_id_document")
        ),
        sa.ForeignKeyConstraint(["delegate_id"], ["person.id"], name=op.f("fk_delegation_delegate_id_person")),
        sa.ForeignKeyConstraint(["delegator_id"], ["person.id"], name=op.f("fk_delegation_delegator_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegation")),
    )
    op.create_index(op.f("ix_delegation_delegate_id"), "delegation", ["delegate_id"], unique=False)
    op.create_table(
        "retention",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("wanted_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wanted_hold", sa.Boolean(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.CheckConstraint("state IN ('queued', 'locked', 'unsupported', 'failed')", name=op.f("ck_retention_state")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_retention_document_id_document")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_retention_sha256_blob")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_retention")),
    )
    op.create_index(op.f("ix_retention_document_id"), "retention", ["document_id"], unique=False)
    op.create_index(
        "ix_retention_due",
        "retention",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'failed')"),
    )
    op.create_table(
        "delivery_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=80), nullable=False),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.CheckConstraint(
            EVENTS,
            name=op.f("ck_delivery_event_kind"),
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_delivery_event_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_event")),
    )
    op.create_index(op.f("ix_delivery_event_delivery_id_id"), "delivery_event", ["delivery_id", "id"], unique=False)
    op.create_table(
        "portal_access",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("codes_sent", sa.Integer(), nullable=False),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_portal_access_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_portal_access")),
    )
    op.create_table(
        "signature",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("field", sa.String(length=120), nullable=False),
        sa.Column("signer_id", sa.Uuid(), nullable=True),
        sa.Column("signer", sa.String(length=200), nullable=False),
        sa.Column("capacity", sa.String(length=4), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renew_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('person', 'seal', 'attachment', 'renewal')", name=op.f("ck_signature_kind")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_signature_document_id_document")),
        sa.ForeignKeyConstraint(["file_id"], ["document_file.id"], name=op.f("fk_signature_file_id_document_file")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
    )
    op.create_index(op.f("ix_signature_document_id"), "signature", ["document_id"], unique=False)
    op.create_index(
        "ix_signature_renew", "signature", ["renew_at"], unique=False, postgresql_where=sa.text("renew_at IS NOT NULL")
    )
    op.create_table(
        "signing_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("acting_for", sa.String(length=64), nullable=True),
        sa.Column("purpose", sa.String(length=4), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("prepared_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("command", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('sign', 'seal')", name=op.f("ck_signing_session_purpose")),
        sa.CheckConstraint("state IN ('open', 'finished', 'void', 'expired')", name=op.f("ck_signing_session_state")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_signing_session_document_id_document")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["document_file.id"], name=op.f("fk_signing_session_file_id_document_file")
        ),
        sa.ForeignKeyConstraint(
            ["prepared_sha256"], ["blob.sha256"], name=op.f("fk_signing_session_prepared_sha256_blob")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["person.id"], name=op.f("fk_signing_session_user_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_session")),
    )
    op.create_index(op.f("ix_signing_session_document_id"), "signing_session", ["document_id"], unique=False)
    op.create_index(
        "ix_signing_session_open",
        "signing_session",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.add_column("delivery", sa.Column("recipient_group", sa.String(length=63), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("postal_number", sa.String(length=50), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("carrier", sa.String(length=100), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("received_by", sa.String(length=100), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("received_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("answer_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("answered_by", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_delivery_to_look_at",
        "delivery",
        [sa.text("id DESC")],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'failed', 'bounced', 'refused')"),
    )
    op.create_index(
        "ix_delivery_to_post",
        "delivery",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("channel = 'paper' AND state = 'queued'"),
    )
    op.create_foreign_key(op.f("fk_delivery_answered_by_document"), "delivery", "document", ["answered_by"], ["id"])
    op.add_column("document", sa.Column("sealed_file_id", sa.Uuid(), nullable=True))
    op.add_column("document", sa.Column("held_legally_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("person", sa.Column("capacity", sa.String(length=4), nullable=False, server_default=""))
    op.create_check_constraint(op.f("ck_person_capacity"), "person", CAPACITIES)
    _checks(0)
    op.create_check_constraint(op.f("ck_clock_kind"), "clock", CLOCKS)
    op.execute("REVOKE DELETE ON delegation, signature, signing_session, retention FROM docflow_app")
    op.execute("REVOKE UPDATE, DELETE ON delivery_event FROM docflow_app")


def downgrade() -> None:
    op.drop_table("delivery_event")
    op.drop_table("portal_access")
    for sql in LEFT_OUT:
        op.execute(sql)
    _checks(1)
    op.drop_constraint(op.f("ck_clock_kind"), "clock", type_="check")
    op.drop_constraint(op.f("ck_person_capacity"), "person", type_="check")
    op.drop_column("person", "capacity")
    op.drop_column("document", "held_legally_at")
    op.drop_column("document", "sealed_file_id")
    op.drop_constraint(op.f("fk_delivery_answered_by_document"), "delivery", type_="foreignkey")
    op.drop_index("ix_delivery_to_look_at", table_name="delivery")
    op.drop_index(
        "ix_delivery_to_post", table_name="delivery", postgresql_where=sa.text("channel = 'paper' AND state = 'queued'")
    )
    op.drop_column("delivery", "answered_by")
    op.drop_column("delivery", "answered_at")
    op.drop_column("delivery", "answer_due_at")
    op.drop_column("delivery", "received_at")
    op.drop_column("delivery", "received_by")
    op.drop_column("delivery", "carrier")
    op.drop_column("delivery", "postal_number")
    op.drop_column("delivery", "recipient_group")
    op.drop_index("ix_signing_session_open", table_name="signing_session", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(op.f("ix_signing_session_document_id"), table_name="signing_session")
    op.drop_table("signing_session")
    op.drop_index("ix_signature_renew", table_name="signature", postgresql_where=sa.text("renew_at IS NOT NULL"))
    op.drop_index(op.f("ix_signature_document_id"), table_name="signature")
    op.drop_table("signature")
    op.drop_index("ix_retention_due", table_name="retention", postgresql_where=sa.text("state IN ('queued', 'failed')"))
    op.drop_index(op.f("ix_retention_document_id"), table_name="retention")
    op.drop_table("retention")
    op.drop_index(op.f("ix_delegation_delegate_id"), table_name="delegation")
    op.drop_table("delegation")
    op.drop_table("verification")
    op.drop_table("stamp_image")
