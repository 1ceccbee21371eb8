"""Measurements, never imported by the service. Every claim of speed is a ratio of systems run in turns in one session."""
