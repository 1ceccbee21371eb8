"""Digest a file with a running server: `glossd serve`, then `python examples/digest.py article.txt`."""

from __future__ import annotations

import sys
from pathlib import Path

from glossd import Client, RemoteError


def main() -> None:
    """Print the summary, its translation and the translated article of the file named on the command line."""
    article = Path(sys.argv[1]).read_text(encoding="utf-8")
    endpoint = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50051"
    with Client(endpoint) as client:
        try:
            digest = client.digest(article, to="zh")
        except RemoteError as error:
            sys.exit(f"{error.code}: {error.message}")
    print(digest.summary.text, digest.translated_summary.text, digest.translated_body.text, sep="\n\n")
    for warning in digest.translated_body.warnings:
        print(f"{warning.code.value}: {warning.message}", file=sys.stderr)


if __name__ == "__main__":
    main()
