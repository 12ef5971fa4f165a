"""The key-provider suite on every provider of the project."""

from itertools import count
from pathlib import Path

import pytest

from consent_gateway.conformance import KeyProviderConformance
from consent_gateway.protection.file_provider import FileKeyProvider


class TestFileKeyProvider(KeyProviderConformance):
    """Root keys in a file."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.paths = (tmp_path / f"root{n}.key" for n in count())

    def make_provider(self) -> FileKeyProvider:
        """A new file each time."""
        return FileKeyProvider.create(next(self.paths))
