"""envfix from within Python: functions for programs, and the magic of a notebook."""
