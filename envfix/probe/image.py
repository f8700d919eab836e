"""Which build of a notebook service's or container's image this is: it changes without the user's doing."""

from __future__ import annotations

from envfix.ports import Outside
from envfix.probe.evidence import read_file

# Colab names its image, NVIDIA's containers their build (`NVIDIA_TENSORFLOW_VERSION`: 25.02-tf2).
_VARIABLES = ("COLAB_RELEASE_TAG", "NVIDIA_TENSORFLOW_VERSION", "NVIDIA_BUILD_ID")
_SAGEMAKER = "SAGEMAKER_INTERNAL_IMAGE_URI"
# Kaggle's Dockerfile writes both at its end (github.com/Kaggle/docker-python, Dockerfile.tmpl).
_KAGGLE = ("/etc/build_date", "/etc/git_commit")


def read_image(outside: Outside) -> str | None:
    """The image's name for itself, None where none is told."""
    for name in _VARIABLES:
        if value := outside.environ.get(name, "").strip():
            return value
    if uri := outside.environ.get(_SAGEMAKER, "").strip():
        return uri.rpartition("/")[2]  # before it stands an account and a host
    told = [read_file(outside, path, 256).text.strip() for path in _KAGGLE]
    named = [text for text in told if text and text != "unknown"]
    return " ".join(named) or None
