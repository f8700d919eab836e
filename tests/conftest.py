"""Fixtures that several test modules share."""

from tests.environments import byte_code, envfix, index, made, parsed, standing

__all__ = ["byte_code", "envfix", "index", "made", "parsed", "standing"]
