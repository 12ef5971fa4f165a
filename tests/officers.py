"""Officers for tests: a software passkey that verifies its holder, and whole ceremonies against services or HTTP."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from soft_webauthn import SoftWebauthnDevice

Send = Callable[..., Any]
"""One HTTP call: `send(method, path, body=None, token=None)`, whose answer has `status` and `body`."""


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Undo `b64`."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Passkey:
    """A software passkey that speaks WebAuthn's JSON. `verifies` False leaves out the user verification."""

    origin: str
    verifies: bool = True
    device: SoftWebauthnDevice = field(default_factory=SoftWebauthnDevice)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """As `navigator.credentials.create`, with the flag UV, which the device itself never sets."""
        made = self.device.create({"publicKey": {**options, "challenge": unb64(options["challenge"])}}, self.origin)
        attestation = cbor.decode(made["response"]["attestationObject"])
        data = bytearray(attestation["authData"])
        data[32] |= 0x04 if self.verifies else 0
        attestation["authData"] = bytes(data)
        return self._credential(
            clientDataJSON=made["response"]["clientDataJSON"], attestationObject=cbor.encode(attestation)
        )

    def get(self, options: dict[str, Any], **different: Any) -> dict[str, Any]:
        """As `navigator.credentials.get`; `origin`, `rp_id`, `challenge` and `count` may be made different."""
        if "count" in different:
            self.device.sign_count = different["count"] - 1
        self.device.sign_count += 1
        challenge = different.get("challenge", options["challenge"])
        origin, rp_id = different.get("origin", self.origin), different.get("rp_id", options["rpId"])
        client = json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": origin}).encode()
        flags = b"\x05" if self.verifies else b"\x01"
        data = hashlib.sha256(rp_id.encode()).digest() + flags + self.device.sign_count.to_bytes(4)
        signed = data + hashlib.sha256(client).digest()
        signature = self.device.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._credential(authenticatorData=data, clientDataJSON=client, signature=signature)

    def _credential(self, **parts: bytes) -> dict[str, Any]:
        named = b64(self.device.credential_id)
        response = {name: b64(part) for name, part in parts.items()}
        return {"id": named, "rawId": named, "type": "public-key", "response": response}


@dataclass
class Officer:
    """An officer with a passkey, who acts over HTTP."""

    send: Send
    passkey: Passkey
    officer_id: str = ""
    token: str = ""

    def enrol(self, code: str) -> Any:
        """Make the passkey."""
        options = self.send("POST", "/v1/officers/enrolments/options", {"code": code})
        if options.status != 200:
            return options
        credential = self.passkey.create(options.body["publicKey"])
        answer = self.send("POST", "/v1/officers/enrolments", {"code": code, "credential": credential})
        self.officer_id = answer.body.get("officer_id", "")
        return answer

    def sign_in(self, **different: Any) -> Any:
        """Sign in; the token is kept."""
        options = self.send("POST", "/v1/officers/sessions/options").body["publicKey"]
        answer = self.send("POST", "/v1/officers/sessions", {"credential": self.passkey.get(options, **different)})
        self.token = answer.body.get("token", self.token)
        return answer

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call with the officer's token."""
        return self.send(method, path, body, self.token)

    def approve(self, request_id: str, **different: Any) -> Any:
        """Sign a request."""
        path = f"/v1/reidentifications/{request_id}/approve"
        options = self.call("POST", f"{path}/options")
        if options.status != 200:
            return options
        return self.call("POST", path, {"credential": self.passkey.get(options.body["publicKey"], **different)})
