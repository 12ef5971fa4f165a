"""The yardstick: a Flask endpoint that reads one row by primary key through SQLAlchemy Core and answers JSON.

No token, no policy, no protection, no audit. It is what a team would write without a gateway.
"""

import os

import sqlalchemy as sa
from flask import Flask, Response, jsonify

from bench.fields import COLUMNS


def application() -> Flask:
    """The WSGI application; the store's URL comes from `BENCH_STORE_URL`."""
    url = os.environ["BENCH_STORE_URL"]
    engine = sa.create_engine(url, pool_size=12, max_overflow=4)
    customers = sa.table("customers", *(sa.column(name) for name in ("customer_id", *COLUMNS)))
    statement = sa.select(*(customers.c[name] for name in COLUMNS))
    app = Flask(__name__)

    @app.get("/customers/<int:customer_id>")
    def read(customer_id: int) -> Response:
        with engine.connect() as connection:
            row = connection.execute(statement.where(customers.c.customer_id == customer_id)).mappings().one()
        return jsonify(dict(row))

    return app
