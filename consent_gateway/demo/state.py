"""The demo's state directory: where each part lies, whether it is whole, and how it is cleared; builds nothing."""

import json
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from consent_gateway.demo.calls import variable
from consent_gateway.errors import SettingsRefused
from consent_gateway.migrate import newest

DATA_VERSION = 5
"""Goes up whenever the demo's data changes, so that an older state is built anew."""

_OWNED = ".consent-gateway-demo"
_FETCH = (
    "{name}_SECRET='{secret}'\n"
    '{name}=$(curl -s {base}/oauth/token -u "{client}:${name}_SECRET" -d grant_type=client_credentials'
    """ | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')\n"""
)


@dataclass(frozen=True, slots=True)
class DemoState:
    """The paths below one state directory."""

    directory: Path

    @property
    def retailer(self) -> Path:
        """The retailer's own database."""
        return self.directory / "retailer.db"

    @property
    def choices(self) -> Path:
        """The retailer's old consent export."""
        return self.directory / "old-choices.jsonl"

    @property
    def gateway(self) -> Path:
        """The gateway's state directory."""
        return self.directory / "gateway"

    @property
    def clients(self) -> Path:
        """The secrets of the demo's clients, readable by the owner alone."""
        return self.directory / "clients.json"

    @property
    def log(self) -> Path:
        """What the gateway's processes print."""
        return self.directory / "gateway.log"

    @property
    def environment(self) -> Path:
        """Shell lines that point other commands at this gateway."""
        return self.directory / "gateway.env"

    @property
    def tokens(self) -> Path:
        """A shell script that fetches a token for every client; readable by the owner alone."""
        return self.directory / "tokens.sh"

    @property
    def public_key(self) -> Path:
        """The audit log's public key, as an outside auditor gets it."""
        return self.directory / "audit-log.vkey"

    @property
    def exported_log(self) -> Path:
        """The folder into which the story exports the audit log."""
        return self.directory / "audit-export"

    @property
    def root_copy(self) -> Path:
        """Where the root key's second copy lies: it plays the other disk."""
        return self.directory / "another-disk"

    @property
    def marker(self) -> Path:
        """Written last: says which data this state holds."""
        return self.directory / "demo.json"

    def is_whole(self, customers: int) -> bool:
        """True where a finished state of this version and size is there and its databases are sound."""
        try:
            found = json.loads(self.marker.read_text(encoding="utf-8"))
            secrets = json.loads(self.clients.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        databases = (self.retailer, self.gateway / "gateway.db", self.gateway / "keys" / "keys.db")
        return found == _described(customers) and isinstance(secrets, dict) and all(map(_is_sound, databases))

    def clear(self) -> None:
        """Make the directory, or empty it of what an earlier demo left. Refuses one that the demo did not make."""
        if self.directory.exists() and any(self.directory.iterdir()) and not (self.directory / _OWNED).exists():
            raise SettingsRefused(f"`{self.directory}` holds something else than a demo: give another --state")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / _OWNED).touch()
        self.marker.unlink(missing_ok=True)  # first, so that a half-cleared state is never taken for a whole one
        for path in (
            self.retailer,
            self.choices,
            self.clients,
            self.log,
            self.environment,
            self.tokens,
            self.public_key,
        ):
            path.unlink(missing_ok=True)
        for folder in (self.gateway, self.exported_log, self.root_copy):
            if folder.exists():
                shutil.rmtree(folder)
        self.root_copy.mkdir(mode=0o700)

    def finish(self, customers: int) -> None:
        """Mark the state as whole."""
        self.marker.write_text(json.dumps(_described(customers)), encoding="utf-8")

    def write_secrets(self, secrets: Mapping[str, str]) -> None:
        """Keep the clients' secrets in a file of mode 0600."""
        _write_private(self.clients, json.dumps(dict(secrets), indent=2))

    def write_scripts(self, base: str, variables: Mapping[str, str]) -> None:
        """Write the shell lines that point commands at this gateway, and those that fetch tokens from it."""
        exports = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        _write_private(self.environment, "".join(exports))
        _write_private(self.tokens, "".join(_FETCH.format(**names) for names in self._token_names(base)))

    def _token_names(self, base: str) -> Iterator[dict[str, str]]:
        for client_id, secret in self.read_secrets().items():
            yield {"name": variable(client_id), "client": client_id, "secret": secret, "base": base}

    def read_secrets(self) -> dict[str, str]:
        """The clients' secrets by client id."""
        secrets: dict[str, str] = json.loads(self.clients.read_text(encoding="utf-8"))
        return secrets

    def variables(self, port: int, policies: Path) -> dict[str, str]:
        """The environment of this demo's gateway."""
        return {
            "CONSENT_GATEWAY_STATE_DIR": str(self.gateway.absolute()),
            "CONSENT_GATEWAY_STORE_URL": f"sqlite:///{self.retailer.absolute()}",
            "CONSENT_GATEWAY_POLICIES": str(policies.absolute()),
            "CONSENT_GATEWAY_PORT": str(port),
            # On another medium in earnest: the one copy of the root key beside its own file saves nobody.
            "CONSENT_GATEWAY_KEY_FILE_COPY": str((self.root_copy / "root.key").absolute()),
            "CONSENT_GATEWAY_MAIL": "outbox",
            # The demo's channels listen on this machine.
            "CONSENT_GATEWAY_WEBHOOK_HOSTS": "127.0.0.1",
            "CONSENT_GATEWAY_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
        }


def _described(customers: int) -> dict[str, object]:
    """What a state must say of itself: its data and its databases' revisions, since a demo is never upgraded."""
    return {
        "version": DATA_VERSION,
        "customers": customers,
        "gateway": newest("gateway"),
        "keys": newest("keys"),
    }


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _is_sound(database: Path) -> bool:
    if not database.is_file():
        return False
    connection = sqlite3.connect(database)
    try:
        return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()
