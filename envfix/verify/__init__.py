"""Prove in a child process that TensorFlow does what it should."""
