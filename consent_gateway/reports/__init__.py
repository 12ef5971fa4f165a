"""The reports room: from the databases to tables that an officer reads and an auditor can count again; changes nothing.

Each report is a function from a `Source` and what was asked to one `Report`, by name in `book.REPORTS`. A report names
the signed checkpoint of the log that it rests on. `forms` makes JSON, CSV and a page of it.
"""
