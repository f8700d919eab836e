"""The compatibility matrix: read it, derive it from wheels, judge by it."""
