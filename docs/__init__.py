"""The documentation's generator; the reference pages that it writes are checked against the code by the tests."""
