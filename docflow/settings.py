"""All settings, read once in ``docflow.bootstrap`` and passed on."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables ``DOCFLOW_*``. Unset database and object store mean the embedded ones."""

    model_config = SettingsConfigDict(env_prefix="DOCFLOW_", env_nested_delimiter="__", frozen=True, extra="ignore")

    database_url: str = ""
    s3_endpoint: str = ""
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    s3_bucket: str = "docflow"
    s3_secure: bool = False
    prefect_api_url: str = ""
    config_dir: Path = Path("config")
    data_dir: Path = Path("var")
    secret_key: SecretStr = SecretStr("")
    base_url: str = "http://127.0.0.1:8000"
    smtp_url: str = ""
    mail_from: str = ""
    imap_url: str = Field(default="", description="one mailbox, beside those of config/intake.yaml")
    smtp_listen: str = Field(default="", description="host:port, lmtp://host:port or lmtp:/path/socket; by commas")
    smtp_tls_certificate: Path | None = None
    smtp_tls_key: Path | None = None
    tsa_url: str = Field(
        default="", description="where time stamps come from (RFC 3161 over HTTP); user:password@ in it"
    )
    clamd_url: str = Field(default="", description="tcp://host:port or unix:/path/socket")
    secrets: dict[str, SecretStr] = Field(default_factory=dict, description="DOCFLOW_SECRETS__NAME: by name")
    portal_days: int = Field(default=30, ge=1, le=366, description="how long links of the portal open")
    upload_limit: int = Field(default=512 * 1024 * 1024, description="bytes of one file")
    mail_limit: int = Field(default=50 * 1024 * 1024, description="bytes of one raw message")
    database_pool: int = 20
    prefect_auth: SecretStr = SecretStr("")
    log_json: bool = False
    clock_file: Path | None = Field(default=None, description="seconds the demo's clock is ahead; loopback only")
