"""Lets TensorFlow find the CUDA libraries of this environment. `pip uninstall envfix-loader` removes it.

A `.pth` file imports this module at every Python start, so it only puts a finder in front of the import
system. When `tensorflow` is about to run, `_envfix_preload` opens the libraries by their paths; TensorFlow's
own `dlopen("libcudart.so.12")` then gets those, because the C library compares with the sonames of what is
already loaded before it searches any folder.

Nothing here stops an import: what goes wrong is shown with ENVFIX_LOADER_DEBUG=1. ENVFIX_LOADER=0 switches it
off.
"""

import sys

TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any


class Finder:
    """Sees `tensorflow` being looked up and has the libraries opened just before its code runs.

    To look a module up is not to import it (many packages only ask whether TensorFlow is there), so the work
    hangs on the execution of the module that the other finders found.
    """

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name != "tensorflow":
            return None
        try:
            return self.found_by_others(name, path, target)
        except Exception as problem:
            complain(problem)
            return None

    def found_by_others(self, name: str, path: "Any", target: "Any") -> "Any":
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                preload_before(spec.loader)
                return spec
        return None


def preload_before(loader: "Any") -> None:
    execute = loader.exec_module

    def exec_module(module: "Any") -> "Any":
        try:
            del loader.exec_module
            import _envfix_preload

            _envfix_preload.preload(module.__path__[0])
        except Exception as problem:
            complain(problem)
        return execute(module)

    loader.exec_module = exec_module


def complain(problem: Exception) -> None:
    import os

    if os.environ.get("ENVFIX_LOADER_DEBUG") == "1":
        sys.stderr.write("envfix loader: %s: %s\n" % (type(problem).__name__, problem))


sys.meta_path.insert(0, Finder())
