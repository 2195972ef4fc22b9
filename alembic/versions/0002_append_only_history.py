"""history is append-only for everyone, and more so for the application's role"""

from collections.abc import Sequence

from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROLE = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'docflow_app') THEN
    CREATE ROLE docflow_app NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server made it just now
END $$
"""

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: rows are never changed or removed', TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    op.execute(ROLE)
    op.execute("GRANT docflow_app TO CURRENT_USER")
    op.execute("GRANT USAGE ON SCHEMA public TO docflow_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO docflow_app")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO docflow_app")
    op.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO docflow_app"
    )
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO docflow_app")
    op.execute("REVOKE UPDATE, DELETE ON history, config_version FROM docflow_app")
    op.execute("REVOKE DELETE ON register_entry, document, document_file, escalation FROM docflow_app")
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM docflow_app")
    op.execute(REFUSE)
    for table in ("history", "config_version"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in ("history", "config_version"):
        op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM docflow_app")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM docflow_app")
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM docflow_app")
    op.execute("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM docflow_app")
    op.execute("REVOKE ALL ON SCHEMA public FROM docflow_app")
