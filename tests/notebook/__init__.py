"""Tests in a real browser; marked `browser`, run by .ci/run."""
