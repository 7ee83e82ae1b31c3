"""Every setting, its default and its meaning; read once from the environment and `.env`.

Nothing else in trainq reads the environment. Flags win over the environment, the environment over
`.env`, `.env` over the defaults here; `sources` tells which it was.
"""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from schemas.errors import UsageError

NO_SETTINGS = {"TRAINQ_TRAINER"}  # the mark that trainers inherit
SAID_PLAINLY = {  # pydantic's words for a mistake in a number
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "finite_number": "a number",
}
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Named(NamedTuple):
    """A setting as people see it."""

    name: str
    value: str  # secrets are masked
    source: str


class Settings(BaseModel):
    """The settings of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    redis_url: SecretStr | None = Field(None, alias="REDIS_URL")  # unset: the embedded server
    prefix: str = Field("trainq:", alias="TRAINQ_PREFIX", min_length=1)
    runs: Path = Field(Path("runs"), alias="TRAINQ_RUNS")
    data: Path = Field(Path(), alias="TRAINQ_DATA")
    state: Path = Field(Path("~/.local/state/trainq"), alias="TRAINQ_STATE")  # the embedded server
    cache: Path = Field(Path("~/.cache/trainq"), alias="TRAINQ_CACHE")  # decoded images of a host
    plugins: str = Field("", alias="TRAINQ_PLUGINS")  # packages whose code configs may name
    user: str = Field(
        default_factory=getpass.getuser, alias="TRAINQ_USER", pattern=r"^[^|\x00-\x1f]{1,64}$"
    )  # a part of keys and lanes
    host: str = Field("", alias="TRAINQ_HOST", pattern=r"^[^|:\s\x00-\x1f]{0,64}$")
    lease_s: Positive = Field(15.0, alias="TRAINQ_LEASE_S")  # every other time follows from it
    stall_s: Positive = Field(900.0, alias="TRAINQ_STALL_S")
    grace_s: Positive = Field(60.0, alias="TRAINQ_GRACE_S")  # between SIGTERM and SIGKILL
    resume_wait_s: Positive = Field(600.0, alias="TRAINQ_RESUME_WAIT_S")
    half_life_s: Positive = Field(604800.0, alias="TRAINQ_HALF_LIFE_S")  # of used GPU time
    # patience with a pre-flight at submit; 0 leaves it to the worker
    preflight_s: NonNegative = Field(60.0, alias="TRAINQ_PREFLIGHT_S")
    crash_limit: int = Field(5, alias="TRAINQ_CRASH_LIMIT", ge=1)
    slack_bot_token: SecretStr | None = Field(None, alias="SLACK_BOT_TOKEN")
    slack_channel: str = Field("", alias="SLACK_CHANNEL")
    slack_webhook_url: SecretStr | None = Field(None, alias="SLACK_WEBHOOK_URL")
    slack_api_url: str = Field("https://slack.com/api/", alias="SLACK_API_URL")
    slack_file: Path | None = Field(None, alias="TRAINQ_SLACK_FILE")  # dry run: notices go here
    slack_users: str = Field("", alias="TRAINQ_SLACK_USERS")  # "ana=U012,bo=U034", for @me

    @property
    def renew_s(self) -> float:
        """How often a lease is renewed and Redis is asked for wishes: 3 s at the default lease."""
        return self.lease_s / 5

    @property
    def beat_s(self) -> float:
        """How often the worker tells its trainer that it runs."""
        return self.lease_s / 15

    @property
    def silence_s(self) -> float:
        """A trainer without a beat for this long saves and leaves: 9 s, before the lease does."""
        return self.lease_s * 0.6

    @property
    def dying_s(self) -> float:
        """A trainer that lives so long after SIGKILL hangs in the kernel: 30 s."""
        return self.lease_s * 2

    @classmethod
    def read(cls, env: Mapping[str, str], dotenv: Path | None = None) -> "Settings":
        """The settings that this environment and `.env` file say."""
        names = {field.alias for field in cls.model_fields.values()}
        merged = {**(_dotenv(dotenv) if dotenv else {}), **env}
        known = {key: value for key, value in merged.items() if key in names and value != ""}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            what = f"{name}: {first['msg']}"
            if (kind := SAID_PLAINLY.get(first["type"])) is not None:
                what = f"{name} must be {kind}, got {str(first['input'])!r}"
            raise UsageError(what, where="the environment or .env") from error


def for_wandb(env: Mapping[str, str], dotenv: Path | None = None) -> dict[str, str]:
    """W&B's own settings, of which it knows only the environment: `.env` may hold them too."""
    said = {**(_dotenv(dotenv) if dotenv else {}), **env}
    return {name: value for name, value in said.items() if name.startswith("WANDB_")}


def sources(env: Mapping[str, str], dotenv: Path | None = None) -> list[Named]:
    """Every setting with its value and who said it."""
    settings, said = Settings.read(env, dotenv), _dotenv(dotenv) if dotenv else {}
    return [
        Named(
            alias,
            "" if (value := getattr(settings, name)) is None else str(value),
            "the environment" if env.get(alias) else ".env" if said.get(alias) else "default",
        )
        for name, field in Settings.model_fields.items()
        if (alias := field.alias)
    ]


def strangers(env: Mapping[str, str], dotenv: Path | None = None) -> list[str]:
    """Names that look like settings of ours but are none: most likely typing errors."""
    known = {field.alias for field in Settings.model_fields.values()} | NO_SETTINGS
    said = {**(_dotenv(dotenv) if dotenv else {}), **env}
    return sorted(name for name in said if name.startswith("TRAINQ_") and name not in known)


def _dotenv(path: Path) -> dict[str, str]:
    """`KEY=value` lines; `export`, quotes and comments as a shell would read the simple cases."""
    if not path.is_file():
        return {}
    pairs: dict[str, str] = {}
    for number, raw in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise UsageError(f"line {number} is not KEY=value", where=str(path))
        pairs[key.strip()] = value.strip().strip("\"'")
    return pairs
