"""Fixtures of the web room's tests: services over SQLite, the application, and calls with and without a token."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_gateway.web.app import create_app
from tests.web.standins import Post, StandIns, stand_ins

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[StandIns]:
    """Services with one registered client, `web-shop`."""
    services = stand_ins(f"sqlite:///{tmp_path / 'gateway.db'}", NOON)
    services.client()
    yield services
    services.close()


@pytest.fixture
def app(services: StandIns) -> Flask:
    """The application over the stand-in services."""
    return create_app(services)


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    """A client that sends no token."""
    return app.test_client()


@pytest.fixture
def call(services: StandIns, http: FlaskClient) -> Post:
    """Sends one request with a fresh token of `web-shop`: `call("POST", path, json={…})`."""

    def send(method: str, path: str, **options: object) -> TestResponse:
        headers = {"Authorization": f"Bearer {services.token()}", **options.pop("headers", {})}  # type: ignore[dict-item]
        return http.open(path, method=method, headers=headers, **options)  # type: ignore[arg-type]

    return send
