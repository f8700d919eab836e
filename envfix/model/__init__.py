"""Frozen values that the stages hand on; nothing here reads, writes or runs."""
