"""`python -m envfix` is the `envfix` command."""

from __future__ import annotations

from envfix.cli import entry

if __name__ == "__main__":
    entry()
