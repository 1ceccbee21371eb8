"""The table of faults, run against real server processes: short in the ordinary run, long with ``make soak``."""
