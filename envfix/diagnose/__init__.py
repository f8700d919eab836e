"""Text and machine → causes: the failure catalogue at work."""
