"""One HTTP call as data: sent with the standard library, or written as the curl line that does the same."""

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlencode, urlsplit

from consent_gateway.errors import GatewayError
from consent_gateway.vocabulary import JsonValue

_SECONDS = 10


class NoAnswer(GatewayError):
    """The gateway of the demo did not answer."""

    code = "no_answer"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `token_of` names the client whose token it carries; `basic` is (client id, secret) instead."""

    method: str
    path: str
    body: JsonValue = None
    form: Mapping[str, str] | None = None
    token_of: str | None = None
    basic: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def curl(self, base: str) -> str:
        """The line to copy. Tokens and secrets stand in it as shell variables, so that no screen shows one."""
        parts = ["curl -s"]
        if self.method not in ("GET", "POST"):
            parts.append(f"-X {self.method}")
        if self.basic is not None:
            parts.append(f'-u "{self.basic[0]}:${variable(self.basic[0])}_SECRET"')
        if self.token_of is not None:
            parts.append(f'-H "Authorization: Bearer ${variable(self.token_of)}"')
        parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        if self.form is not None:
            parts += [f"-d {shlex.quote(f'{name}={value}')}" for name, value in self.form.items()]
        if self.body is not None:
            text = json.dumps(self.body, ensure_ascii=False)
            parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(text)}"]
        parts.insert(1, shlex.quote(base + self.path))
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is the parsed JSON document, or the text where it is none."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: JsonValue

    def at(self, *path: str) -> JsonValue:
        """The value under a path of keys, None where the path ends early."""
        found: JsonValue = self.body
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def variable(client_id: str) -> str:
    """The shell variable that holds a client's token."""
    return client_id.upper().replace("-", "_").replace(".", "_")


def send(base: str, call: Call, tokens: Mapping[str, str]) -> Answer:
    """Do the call. Raises `NoAnswer` where the connection fails."""
    target = urlsplit(base)
    connection = HTTPConnection(target.hostname or "127.0.0.1", target.port, timeout=_SECONDS)
    try:
        connection.request(call.method, call.path, _payload(call), _headers(call, tokens))
        return _parsed(connection.getresponse())
    except (OSError, HTTPException) as error:
        raise NoAnswer(f"no answer from {base}: see whether the gateway is still running") from error
    finally:
        connection.close()


def _payload(call: Call) -> bytes | None:
    if call.form is not None:
        return urlencode(call.form).encode()
    return None if call.body is None else json.dumps(call.body).encode()


def _headers(call: Call, tokens: Mapping[str, str]) -> dict[str, str]:
    headers = dict(call.headers)
    if call.form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    elif call.body is not None:
        headers["Content-Type"] = "application/json"
    if call.basic is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(call.basic).encode()).decode()
    elif call.token_of is not None:
        headers["Authorization"] = f"Bearer {tokens.get(call.token_of, 'gw_at_this-is-not-a-token')}"
    return headers


def _parsed(response: HTTPResponse) -> Answer:
    text = response.read().decode("utf-8", errors="replace")
    headers = {name.lower(): value for name, value in response.getheaders()}
    try:
        body: JsonValue = json.loads(text) if text else None
    except ValueError:
        body = text
    return Answer(response.status, headers, body)
