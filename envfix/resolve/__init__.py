"""From what must hold to a whole set of pinned packages."""
