"""An erased person's sessions and links end with them, and nobody else's do."""

import sqlalchemy as sa

from consent_gateway.customers.leaving import OF_A_PERSON, end_all
from consent_gateway.customers.tables import CONFIRMATIONS, CUSTOMER_LINKS, CUSTOMER_SESSIONS, UNSUBSCRIBE_LINKS


def filled(table: sa.Table, data_subject: str) -> dict[str, str | int | bytes]:
    """A row of this person, with something in every column that must have a value."""
    row: dict[str, str | int | bytes] = {}
    for column in table.columns:
        row[column.name] = 1 if isinstance(column.type, sa.Integer) else data_subject
        if isinstance(column.type, sa.LargeBinary):
            row[column.name] = b"sealed"
    return {**row, "data_subject": data_subject}


def test_everything_of_one_person_goes_and_everything_of_another_stays(gateway_engine: sa.Engine) -> None:
    """Sessions, sign-in links, unsubscribe links and confirmations: of two people only the other's are left."""
    assert set(OF_A_PERSON) == {CUSTOMER_SESSIONS, CUSTOMER_LINKS, UNSUBSCRIBE_LINKS, CONFIRMATIONS}
    with gateway_engine.begin() as connection:
        for table in OF_A_PERSON:
            connection.execute(sa.insert(table), [filled(table, "ds_1"), filled(table, "ds_2")])
        end_all(connection, "ds_1")
        for table in OF_A_PERSON:
            assert connection.execute(sa.select(table.c.data_subject)).scalars().all() == ["ds_2"]
