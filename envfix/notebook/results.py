"""What a function or a magic returns: the contract's JSON object, to look at and to compute with."""

from __future__ import annotations

from typing import Any


class Result:
    """One command's outcome.

    `command`, `exit_code` (README, "Exit codes"), `data` and `errors` are those of `--json`; the keys of
    `data` are attributes too (`report.recommended`). As text it is what the command line prints; a notebook
    shows a table that follows its theme.
    """

    def __init__(self, answer: dict[str, Any], text: str, html: str) -> None:
        self._answer, self._text, self._html = answer, text, html
        self._is_shown = False

    @property
    def command(self) -> str:
        return str(self._answer["command"])

    @property
    def exit_code(self) -> int:
        return int(self._answer["exit_code"])

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.exit_code == 0

    @property
    def data(self) -> Any:
        return self._answer["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self._answer["errors"])

    def to_dict(self) -> dict[str, Any]:
        """The whole object, as `--json` prints it."""
        return self._answer

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("_answer", {}).get("data")
        if isinstance(data, dict) and name in data:
            return data[name]
        raise AttributeError(f"the result of `envfix {self.__dict__['_answer']['command']}` has no `{name}`")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self.data if isinstance(self.data, dict) else ())]

    def __repr__(self) -> str:
        return self._text.rstrip("\n") or f"<envfix {self.command}: exit code {self.exit_code}>"

    def mark(self, *, shown: bool) -> None:
        """Whether the cell that runs has shown it: its last expression is not shown a second time."""
        self._is_shown = shown

    def _ipython_display_(self) -> None:
        """IPython shows an object in its usual forms where this raises NotImplementedError."""
        if not self._is_shown:
            raise NotImplementedError

    def _repr_html_(self) -> str | None:
        return self._html or None
