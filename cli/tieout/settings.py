"""Settings: ``tieout.toml``, overridden by ``TIEOUT_…``, overridden by flags.

Names carry their units. Secrets belong in the environment or in files, never in flags.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from tieout.exits import UsageProblem


class ReceiverSettings(BaseModel):
    """Who is told of alerts. The secret that signs lies in a file or a variable of the environment."""

    model_config = ConfigDict(extra="forbid")

    name: str
    url: str
    secret_file: Path | None = None
    secret_env: str | None = None


class ControlSettings(BaseModel):
    """The section ``[control]``; in the environment ``TIEOUT_CONTROL__…``."""

    model_config = ConfigDict(extra="forbid")

    poll_interval_s: float = Field(default=0.5, gt=0, le=60)
    ripcord_interval_s: float = Field(default=5.0, gt=0, le=3600)
    ripcord_after_s: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    ripcord_observations_min: int = Field(default=3, gt=0)
    send_timeout_s: float = Field(default=10.0, gt=0, le=300)
    sends_in_flight_max: int = Field(default=8, gt=0, le=256)
    retry_initial_s: float = Field(default=0.5, gt=0, le=60)
    retry_max_s: float = Field(default=60.0, gt=0, le=3600)
    undelivered_max_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    external_url: str = ""
    receivers: list[ReceiverSettings] = []


class Settings(BaseSettings):
    """Where things are, and how much one step may take on."""

    model_config = SettingsConfigDict(
        env_prefix="TIEOUT_", toml_file="tieout.toml", extra="ignore", env_nested_delimiter="__"
    )

    dsn: str | None = None
    rpc_url: str | None = None
    home: Path = Path("~/.local/state/tieout")
    window_slots_max: int = Field(128, gt=0)
    fetches_in_flight_max: int = Field(6, gt=0)
    poll_interval_s: float = Field(0.4, gt=0, allow_inf_nan=False)
    block_subscribe: bool = True
    wake_on_confirmations: bool = True
    audit_signatures_max: int = Field(200_000, gt=0)
    parked_retry_interval_s: float = Field(5.0, gt=0, allow_inf_nan=False)
    audit_interval_s: float = Field(3600.0, ge=0, allow_inf_nan=False)
    quorum_every_slots: int = Field(64, ge=0)
    lag_slots_max: int = Field(150, gt=0)
    metrics_port: int = Field(0, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    log_format: Literal["text", "json"] = "text"
    chain_age_max_s: int = Field(900, gt=0)
    statement_age_max_s: int = Field(432_000, gt=0)
    order_age_max_s: int = Field(900, gt=0)
    control: ControlSettings = ControlSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence; a .env file is not read."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def state_directory(self) -> Path:
        """Where the embedded Postgres and traces of defects are kept."""
        return self.home.expanduser()


def load(**given: Any) -> Settings:
    """Read the settings. Raises UsageProblem naming the setting that is wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as bad:
        first = bad.errors()[0]
        raise UsageProblem(
            f"setting {'.'.join(map(str, first['loc']))} cannot be {first.get('input')!r}: {first['msg'].lower()}"
        ) from bad
    except ValueError as bad:
        raise UsageProblem(f"tieout.toml cannot be read: {bad}") from bad


def database_dsn(flag: str | None) -> str:
    """The database to use: the flag, TIEOUT_DSN, tieout.toml, else the embedded Postgres if it was started."""
    from tieout_database import refuse_password

    if flag is not None and not flag.strip():
        raise UsageProblem("--dsn is empty: leave it out for TIEOUT_DSN or the embedded Postgres")
    if flag is not None:
        return refuse_password(flag)
    settings = load()
    if settings.dsn:
        return settings.dsn
    note = embedded_note(settings)
    if note.exists():
        return note.read_text("utf-8").strip()
    if any(os.environ.get(name) for name in ("PGHOST", "PGSERVICE")):
        return "postgresql://"
    raise UsageProblem("no database named: give --dsn or TIEOUT_DSN, or run tieout db start for an embedded one")


def embedded_note(settings: Settings) -> Path:
    """The file in which ``tieout db start`` leaves the embedded server's connection string."""
    return settings.state_directory / "embedded.dsn"


def node_urls(flags: list[str] | None) -> list[str]:
    """The node addresses to use: the flags, else TIEOUT_RPC_URL or tieout.toml (several, comma-separated)."""
    from tieout_rpc import Endpoint

    urls = flags or [u.strip() for u in (load().rpc_url or "").split(",") if u.strip()]
    if not urls:
        raise UsageProblem("no node named: give --rpc-url, or set TIEOUT_RPC_URL")
    for url in urls:
        try:
            Endpoint(url)
        except ValueError as bad:
            raise UsageProblem(str(bad)) from None
    return urls
