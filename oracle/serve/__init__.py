"""Signed answers over HTTP: the server, and a client of it."""
