"""A resolution written down: PEP 751 and requirements files, every file hashed."""
