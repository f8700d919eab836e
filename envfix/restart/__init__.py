"""Whether the notebook's kernel still holds what was changed, and what to do there."""
