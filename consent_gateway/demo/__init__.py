"""The demo's own room: a retailer's database that knows nothing of us, and a narrated walk through the gateway."""
