"""The retailer's own tables, as a shop of its kind has them; they know nothing of consent but one old column."""

TABLES = """
CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY,
    external_ref TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    birth_date TEXT,
    language TEXT NOT NULL DEFAULT 'en',
    country CHAR(2) NOT NULL,
    region TEXT,
    street TEXT,
    postcode TEXT,
    city TEXT,
    allergies TEXT,
    service_note TEXT,
    marketing_opt_in INTEGER NOT NULL DEFAULT 0,
    created_at TEXT,
    updated_at TEXT
);
CREATE TABLE loyalty_accounts (
    loyalty_number TEXT PRIMARY KEY,
    customer_id INTEGER NOT NULL UNIQUE REFERENCES customers (customer_id),
    tier TEXT NOT NULL,
    points INTEGER NOT NULL,
    joined_on TEXT NOT NULL
);
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
    ordered_at TEXT NOT NULL,
    channel TEXT NOT NULL,
    store_city TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    currency CHAR(3) NOT NULL,
    payment_method TEXT NOT NULL,
    card_last4 TEXT
);
CREATE TABLE order_lines (
    line_id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (order_id),
    product TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price_cents INTEGER NOT NULL
);
CREATE TABLE visits (
    visit_id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
    visited_at TEXT NOT NULL,
    place TEXT NOT NULL,
    latitude REAL,
    longitude REAL,
    cookie_id TEXT
);
CREATE TABLE devices (
    device_id TEXT PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
    platform TEXT NOT NULL,
    cookie_id TEXT NOT NULL,
    last_ip TEXT NOT NULL,
    last_seen TEXT NOT NULL
);
CREATE TABLE support_notes (
    note_id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
    written_at TEXT NOT NULL,
    agent TEXT NOT NULL,
    note TEXT NOT NULL
);
"""

INDEXES = """
CREATE INDEX customers_email ON customers (email);
CREATE INDEX customers_phone ON customers (phone);
CREATE INDEX orders_customer ON orders (customer_id, ordered_at);
CREATE INDEX order_lines_order ON order_lines (order_id);
CREATE INDEX visits_customer ON visits (customer_id, visited_at);
CREATE INDEX devices_customer ON devices (customer_id);
CREATE INDEX support_notes_customer ON support_notes (customer_id);
ANALYZE;
"""

COLUMNS = {
    "customers": 18,
    "loyalty_accounts": 5,
    "orders": 9,
    "order_lines": 5,
    "visits": 7,
    "devices": 6,
    "support_notes": 5,
}
"""Every table, parents before children, with its number of columns."""
