"""A driver stub that lets a real TensorFlow wheel run its loading path without a GPU."""
