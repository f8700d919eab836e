"""Reads what a machine is; every fact with its evidence and a time limit."""
