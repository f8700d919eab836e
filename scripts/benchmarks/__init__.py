"""The parts of `scripts/bench.py`: one module a section, beside how a command is run, compared and shown."""
