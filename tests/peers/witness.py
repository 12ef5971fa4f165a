"""A small witness (C2SP tlog-witness): one log, in memory, over HTTP on loopback; built on another implementation.

It shares no code with the gateway: checkpoints and consistency proofs are read and checked by `tlog_scales`.
"""

import base64
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tlog_scales.signing import NoteSignature, Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, ConsistencyProofInvalid


class SmallWitness:
    """Cosigns what contains everything it cosigned before. `seen` is (size, root) of the last."""

    def __init__(self, name: str, log_vkey: str, seconds: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.vkey = Vkey(name, None, 4, self._key.public_key().public_bytes_raw())
        self._log = Vkey.from_string(log_vkey)
        self._seconds = seconds
        self._lock = threading.Lock()
        self.seen: tuple[int, bytes] = (0, b"")
        self.forged = False  # answer with a signature that does not fit

    def add_checkpoint(self, body: str) -> tuple[int, str]:
        """Status and answer to a submission."""
        head, _, note = body.partition("\n\n")
        first, *proof = head.split("\n")
        checkpoint = Checkpoint.from_text(note)
        old = int(first.removeprefix("old "))
        if checkpoint.origin != self._log.name:
            return 404, ""
        try:
            checkpoint.verify(self._log)
        except Exception:
            return 403, ""
        with self._lock:
            size, root = self.seen
            if old != size or (old == checkpoint.size and root != checkpoint.root_hash):
                return 409, f"{size}\n"
            try:
                hashes = [base64.b64decode(one) for one in proof]
                if old:
                    ConsistencyProof(old, checkpoint.size, hashes).check(root, checkpoint.root_hash)
            except ConsistencyProofInvalid:
                return 422, ""
            self.seen = (checkpoint.size, checkpoint.root_hash)
        return 200, self._cosignature(checkpoint) + "\n"

    def _cosignature(self, checkpoint: Checkpoint) -> str:
        text = f"cosignature/v1\ntime {self._seconds}\n{checkpoint.serialize_body()}"
        signed = self._key.sign(text.encode() + (b"x" if self.forged else b""))
        return NoteSignature.from_vkey_signature(self.vkey, struct.pack(">Q", self._seconds) + signed).serialize()


@contextmanager
def serving(witness: SmallWitness) -> Iterator[str]:
    """The witness under a URL of this machine, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = witness.add_checkpoint(body) if self.path == "/w/add-checkpoint" else (404, "")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_parts: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/w"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
