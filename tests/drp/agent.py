"""An authorised agent, written from the text of the Data Rights Protocol alone: it imports nothing of the gateway."""

import json
import threading
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Answer:
    """Status, raw body and content type of one answer."""

    status: int
    raw: bytes
    content_type: str

    @property
    def body(self) -> Any:
        """The JSON of the answer."""
        return json.loads(self.raw)


def signed(key: Ed25519PrivateKey, message: dict[str, Any]) -> bytes:
    """A message as the protocol sends it: signature and JSON in one, in base64."""
    text = json.dumps(message).encode()
    return b64encode(key.sign(text) + text)


@dataclass
class ByTheSpec:
    """One agent against one business. Remembers what its callback was told."""

    base: str
    agent_id: str
    business_id: str
    key: Ed25519PrivateKey
    token: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    callback: str | None = None

    def envelope(self) -> dict[str, str]:
        """Who says this to whom, and when (2.01, first group)."""
        issued = datetime.now(UTC) - timedelta(seconds=1)
        return {
            "agent-id": self.agent_id,
            "business-id": self.business_id,
            "issued-at": issued.isoformat(),
            "expires-at": (issued + timedelta(minutes=10)).isoformat(),
            "drp.version": "1.0",
        }

    def set_up(self) -> Answer:
        """2.05, pair-wise key set-up."""
        answer = self._send("POST", f"/v1/agent/{self.agent_id}", self.envelope(), token=None)
        if answer.status == 200:
            assert answer.body["agent-id"] == self.agent_id
            self.token = answer.body["token"]
        return answer

    def check(self) -> Answer:
        """2.06, agent information."""
        return self._send("GET", f"/v1/agent/{self.agent_id}", None, self.token)

    def exercise(self, action: str, **claims: Any) -> Answer:
        """2.01, exercise; the answer is a status."""
        message = {
            **self.envelope(),
            "agent-request-id": str(uuid.uuid4()),
            "exercise": action,
            "regime": "ccpa",
            "relationships": ["customer"],
            **claims,
        }
        if self.callback is not None:
            message["status_callback"] = self.callback
        return self._send("POST", "/v1/data-rights-request", message, self.token)

    def status(self, request_id: str) -> Answer:
        """2.02, status."""
        return self._send("GET", f"/v1/data-rights-request/{request_id}", None, self.token)

    def revoke(self, request_id: str, **more: Any) -> Answer:
        """2.04, revoke."""
        message = {"reason": "I changed my mind", **more}
        return self._send("DELETE", f"/v1/data-rights-request/{request_id}", message, self.token)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """2.03: a callback endpoint on this machine while in the block; its address."""
        heard = self.heard

        class Callback(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Callback)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.callback = f"http://127.0.0.1:{server.server_address[1]}/update_status"
        try:
            yield self.callback
        finally:
            self.callback = None
            server.shutdown()
            server.server_close()
            thread.join()

    def _send(self, method: str, path: str, message: dict[str, Any] | None, token: str | None) -> Answer:
        headers = {"Content-Type": "text/plain"} if message is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if message is None else signed(self.key, message)
        request = urllib.request.Request(self.base + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.read(), answer.headers["Content-Type"] or "")
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers["Content-Type"] or "")
