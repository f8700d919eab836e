"""Values as text and JSON; nothing here decides."""
