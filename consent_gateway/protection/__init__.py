"""The protection room."""
