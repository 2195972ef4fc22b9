"""Connections: one pool a process, as the application's role, for which history is append-only."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

APPLICATION_ROLE = "docflow_app"


def make_engine(url: str, *, pool_size: int = 20, name: str = "docflow") -> Engine:
    """An engine whose every connection acts as ``docflow_app`` and plans its statements once."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=False,
        pool_use_lifo=True,
        connect_args={
            "options": f"-c role={APPLICATION_ROLE} -c timezone=UTC -c plan_cache_mode=force_generic_plan -c jit=off",
            "application_name": name,
            "connect_timeout": 10,
            "prepare_threshold": 2,
        },
    )


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine, expire_on_commit=False)
