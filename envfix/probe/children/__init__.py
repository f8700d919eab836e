"""Scripts that run in a child process: each prints one marked JSON line and imports nothing of envfix."""
