"""Prefect flows: thin drivers of the services."""
