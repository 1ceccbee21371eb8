"""Conversions between the messages of ``glossd.v1`` and the dataclasses of ``glossd.types``.

Shared by the server, the client and the command line. Checks of what a caller sent are the server's.
"""
