"""PostgreSQL, object store and Prefect for one machine without Docker."""
