"""The address of a database, and what of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from autorag_whisper.domain.errors import InvalidOption

_ALLOWED = (
    "postgresql://USER@HOST:PORT/DATABASE; characters of a password other than letters and digits as %XX "
    "(PGPASSWORD and ~/.pgpass work too)"
)
# A server that went away without a word is noticed within half a minute, also by a connection that only listens.
_PATIENCE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
             "tcp_user_timeout": 25_000, "application_name": "autorag-whisper"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """`options`: what libpq connects with, secrets among it. `shown`: user, host and database, for people and logs."""

    options: dict[str, Any] = field(repr=False)
    shown: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `postgresql://...`, or libpq's `key=value`.

        Raises InvalidOption, which repeats nothing of it: what could not be read may be a part of the password.
        """
        try:
            given = conninfo_to_dict(text)
        except psycopg.ProgrammingError:
            given = {"host": "@"}
        hosts, ports, name = (str(given.get(key) or "") for key in ("host", "port", "dbname"))
        # A password with a bare @, / or : ends up in one of these.
        if "@" in hosts + name or "/" in name or not all(port.isdecimal() or not port for port in ports.split(",")):
            raise InvalidOption("address of the jobs", "***", _ALLOWED)
        user = f"{given['user']}@" if given.get("user") else ""
        port = f":{ports}" if ports else ""
        return cls(_PATIENCE | given, f"postgresql://{user}{hosts or 'localhost'}{port}/{name}")

    def without_secrets(self, message: str) -> str:
        """A message in one line, without the passwords."""
        for key in ("password", "sslpassword"):
            if secret := self.options.get(key):
                message = message.replace(str(secret), "***")
        return " ".join(message.split()).rstrip(".?")
