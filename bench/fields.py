"""The columns both endpoints read, so that the work compared is the same row."""

COLUMNS = ("first_name", "last_name", "email", "phone", "street", "postcode", "city", "country", "external_ref")
PURPOSE = "order_fulfilment"
