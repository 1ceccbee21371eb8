"""A real server on a free port of the loopback, and real calls to it."""
