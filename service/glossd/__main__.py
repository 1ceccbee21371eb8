"""``python -m glossd`` is the command line."""

from __future__ import annotations

from glossd.cli.main import main

if __name__ == "__main__":
    main()
