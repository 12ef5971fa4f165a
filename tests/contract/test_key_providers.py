"""The key-provider suite on every provider of the project: a file, a real OpenBao, and KMS as moto imitates it."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from moto import mock_aws

from consent_gateway.conformance import KeyProviderConformance
from consent_gateway.ports import KeyProvider
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.kms_provider import KmsAddress, KmsKeyProvider
from consent_gateway.protection.transit_engine import TransitAddress
from consent_gateway.protection.transit_provider import TransitKeyProvider
from tests.peers.openbao import Server


@pytest.fixture
def silence() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


class TestFileKeyProvider(KeyProviderConformance):
    """Root keys in a file."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.paths = (tmp_path / f"root{n}.key" for n in count())

    def make_provider(self) -> FileKeyProvider:
        """A new file each time."""
        return FileKeyProvider.create(next(self.paths))

    def lose(self, provider: KeyProvider) -> None:
        """The disk lost the file."""
        assert isinstance(provider, FileKeyProvider)
        provider._path.unlink()


class TestOpenBaoKeyProvider(KeyProviderConformance):
    """A key of the Transit engine of a real OpenBao server."""

    @pytest.fixture(autouse=True)
    def _server(self, openbao: Server, tmp_path: Path, silence: int) -> None:
        self.server, self.silent = openbao, silence
        self.token_file = openbao.write_token(tmp_path / "token")
        self.names = (f"{tmp_path.name}-{n}".replace("_", "-") for n in count())

    def make_provider(self) -> TransitKeyProvider:
        """A new key of the same server each time."""
        name = next(self.names)
        return TransitKeyProvider.create(
            TransitAddress("openbao", self.server.address, "transit", name, self.token_file, timeout=10)
        )

    def lose(self, provider: KeyProvider) -> None:
        """The server hangs: it takes the connection and never answers."""
        assert isinstance(provider, TransitKeyProvider)
        engine = provider._engine
        engine.at = replace(engine.at, server=f"http://127.0.0.1:{self.silent}", timeout=0.2)


class TestKmsKeyProvider(KeyProviderConformance):
    """Keys of AWS KMS, imitated by moto: a double, which cannot prove what KMS itself does with a retired key."""

    @pytest.fixture(autouse=True)
    def _account(self, monkeypatch: pytest.MonkeyPatch, silence: int) -> Iterator[None]:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-a-test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-test")
        self.monkeypatch, self.silent = monkeypatch, silence
        self.names = (f"gateway-{n}" for n in count())
        self.account = mock_aws()
        self.account.start()
        self.running = True
        yield
        if self.running:
            self.account.stop()

    def make_provider(self) -> KmsKeyProvider:
        """A new name each time."""
        return KmsKeyProvider.create(KmsAddress("eu-central-1", next(self.names)))

    def lose(self, provider: KeyProvider) -> None:
        """The endpoint hangs: it takes the connection and never answers; no double answers in its place."""
        self.account.stop()
        self.running = False
        self.monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{self.silent}")
        assert isinstance(provider, KmsKeyProvider)
        provider._kms = type(provider._kms)(replace(provider._kms.at, timeout=0.2))
