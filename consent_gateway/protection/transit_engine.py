"""Calls of the Transit engine of OpenBao or Vault; keeps no connection and no token, and knows nothing of wrapped keys.

Each call opens a connection of its own and reads the token file anew, so an agent may write a fresh token at any time;
that is affordable because no request ever comes here. Errors name cause and mend, never what was sent or answered.
"""

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consent_gateway.errors import KeysUnavailable, SettingsRefused


@dataclass(frozen=True, slots=True)
class TransitAddress:
    """Where the root key is. `server` is its base URL, `mount` the path of the engine, `timeout` in seconds.

    `ca_file` holds the certificates to trust in place of the system's.
    """

    kind: str  # openbao | vault: the same protocol, told apart for the reader only
    server: str
    mount: str
    key_name: str
    token_file: Path
    ca_file: Path | None = None
    timeout: float = 2.0


class CallRefused(Exception):
    """The server understood the call and said no to its content."""


class KeyMissing(Exception):
    """There is no such key, or no such engine."""


class TransitEngine:
    """One key of one Transit engine, as calls."""

    def __init__(self, address: TransitAddress) -> None:
        self.at = address
        self._hvac = _load_client()

    def __repr__(self) -> str:
        return f"TransitEngine({self.told()})"

    def state(self) -> Mapping[str, Any] | None:
        """What the server says of the key; None where there is no such key."""
        try:
            return self.call("get", f"keys/{self.at.key_name}")
        except KeyMissing:
            return None
        except CallRefused:
            raise self.unreadable() from None

    def write(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """A call that must succeed."""
        try:
            return self.call("post", path, body)
        except KeyMissing:
            raise self.gone() from None
        except CallRefused:
            raise KeysUnavailable(
                f"the server refused `{path}` on {self.told()}: see its own log, then run it again"
            ) from None

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        """One call. Raises `CallRefused`, `KeyMissing`, or `KeysUnavailable` where the server cannot be used."""
        exceptions, at = self._hvac.exceptions, self.at
        import requests  # noqa: PLC0415 - comes with hvac

        try:
            with self._connected() as client:
                sent = {} if body is None else {"json": body}
                answer = getattr(client.adapter, method)(f"/v1/{at.mount}/{path}", **sent)
        except exceptions.InvalidPath:
            raise KeyMissing from None
        except exceptions.InvalidRequest:
            raise CallRefused from None
        except (exceptions.Forbidden, exceptions.Unauthorized):
            raise KeysUnavailable(
                f"the server refused the token for `{path.partition('/')[0]}` on {self.told()}: see that the token in"
                f" `{at.token_file}` has not expired and that its policy allows it"
            ) from None
        except exceptions.VaultDown:
            raise KeysUnavailable(f"the server of {self.told()} is sealed: unseal it") from None
        except requests.exceptions.SSLError:
            raise KeysUnavailable(
                f"the certificate of `{at.server}` is not trusted: name its authority in CONSENT_GATEWAY_KEY_CA_FILE"
            ) from None
        except (requests.exceptions.RequestException, OSError):
            raise KeysUnavailable(
                f"`{at.server}` did not answer within {at.timeout:g} seconds: see that it runs and can be reached"
            ) from None
        except exceptions.VaultError:
            raise KeysUnavailable(f"the server of {self.told()} failed: see its own log") from None
        if isinstance(answer, dict):
            return answer.get("data") or {}
        if answer.status_code == 204:  # done, nothing to say
            return {}
        raise self.unreadable()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A client for one call: neither proxies nor certificates of the environment, and no redirect, are taken."""
        import requests  # noqa: PLC0415 - comes with hvac

        at = self.at
        with requests.Session() as session:
            session.trust_env = False
            yield self._hvac.Client(
                url=at.server,
                token=_token(at.token_file),
                verify=True if at.ca_file is None else str(at.ca_file),
                timeout=at.timeout,
                allow_redirects=False,  # a redirect would carry the token to wherever it points
                session=session,
            )

    def told(self) -> str:
        """The key in words, for messages."""
        return f"the key `{self.at.key_name}` of `{self.at.server}` ({self.at.mount})"

    def gone(self) -> KeysUnavailable:
        """The error where the key was there and is not any more."""
        return KeysUnavailable(f"{self.told()} is gone: restore the server from its back-up")

    def unreadable(self) -> KeysUnavailable:
        """The error where something else than Transit answers."""
        return KeysUnavailable(f"`{self.at.server}` gave an answer that is not of Transit: see what listens there")


def _load_client() -> Any:
    try:
        import hvac  # noqa: PLC0415 - an extra: only who chose this provider has it
    except ImportError:
        raise SettingsRefused(
            "OpenBao and Vault need the package hvac: run `pip install 'consent-gateway[vault]'`"
        ) from None
    return hvac


def _token(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o007:
            raise KeysUnavailable(f"the token file `{path}` is open to everybody: run `chmod o-rwx` on it")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise KeysUnavailable(f"the token file `{path}` cannot be read: see that the agent writes it there") from None
    if not token or not token.isprintable() or " " in token:
        raise KeysUnavailable(f"the token file `{path}` does not hold one token: see what writes it")
    return token
