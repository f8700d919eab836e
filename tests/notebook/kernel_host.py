"""A front end as small as can be: starts a kernel, does what its name does when that dies, and runs cells.

    python jupyter-lab PYTHON < cells.json > outputs.json

Its file is copied under the name of the program that it stands for, by which a kernel knows what watches it.
A cell of `null` is where the kernel starts anew: a server sees to that by itself when it has died; as `node`,
which is VS Code's, or under any other name, it is the user who restarts it, dead or alive. `node` names the
connection file as vscode-jupyter does, and hands on no number of its own process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from traitlets.config import Config

NAME = Path(sys.argv[0]).name
# What `VSCODE_PID` is on a desktop is absent where VS Code works on another machine, in WSL or a container:
# github.com/holoviz/panel/issues/5200. KernelProcess.createConnectionFile names the file, and
# KernelEnvironmentVariablesService hands on what the process of the extensions has.
VSCODE = {"ELECTRON_RUN_AS_NODE": "1", "VSCODE_CWD": "/", "VSCODE_HANDLES_UNCAUGHT_ERRORS": "true",
          "PYDEVD_IPYTHON_COMPATIBLE_DEBUGGING": "1", "PYTHONUNBUFFERED": "1"}  # fmt: skip


class Host:
    """One kernel and what watches it; `restarts` says that it comes up by itself when it has died."""

    def __init__(self, python: str) -> None:
        # Seconds between two looks at whether the kernel lives; a server takes three.
        config = Config({"KernelRestarter": {"time_to_dead": 0.5}})
        self.manager = AsyncIOLoopKernelManager(config=config)
        self.restarts = "jupyter" in NAME
        self.manager.autorestart = self.restarts
        self.env = dict(os.environ)
        argv = self.manager.kernel_spec.argv
        argv[0] = python
        if NAME == "node":
            Path(jupyter_runtime_dir()).mkdir(parents=True, exist_ok=True)
            self.manager.connection_file = f"{jupyter_runtime_dir()}/kernel-v2-{os.getpid()}kSC9njpUbH1b.json"
            argv[:] = ["env", "-u", "JPY_PARENT_PID", *argv[:-2], "--f={connection_file}"]
            self.env |= VSCODE
        elif "COLAB_RELEASE_TAG" in os.environ:
            argv[argv.index("ipykernel_launcher")] = "colab_kernel_launcher"
        self.restarted = asyncio.Event()

    async def start(self) -> None:
        await self.manager.start_kernel(env=self.env)
        self.manager.add_restart_callback(self.restarted.set)
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=60)

    async def restart(self) -> None:
        """Another kernel, brought up by what watches it, or by the user."""
        if self.restarts:
            await asyncio.wait_for(self.restarted.wait(), 30)
            self.restarted.clear()
        else:
            await self.manager.restart_kernel(now=True)
        await self.client.wait_for_ready(timeout=60)

    async def died(self) -> None:
        while not self.restarted.is_set() and await self.manager.is_alive():
            await asyncio.sleep(0.1)

    async def run(self, cell: str) -> dict[str, Any]:
        """What the cell said, showed and raised; its `status` is `dead` where the kernel died under it."""
        messages: list[dict[str, Any]] = []
        took = time.monotonic()
        reply = asyncio.ensure_future(
            self.client.execute_interactive(cell, output_hook=messages.append, timeout=240)
        )
        death = asyncio.ensure_future(self.died())
        await asyncio.wait({reply, death}, return_when=asyncio.FIRST_COMPLETED)
        status = reply.result()["content"]["status"] if reply.done() else "dead"
        for task in (reply, death):
            task.cancel()
        await asyncio.gather(reply, death, return_exceptions=True)
        failed = [one["content"] for one in messages if one["msg_type"] == "error"]
        return {
            "status": status,
            "said": "".join(one["content"]["text"] for one in messages if one["msg_type"] == "stream"),
            "shown": [one["content"]["data"] for one in messages if "data" in one["content"]],
            "error": failed[0] if failed else None,
            "seconds": time.monotonic() - took,
        }


async def main(python: str, cells: list[str | None]) -> list[dict[str, Any]]:
    host = Host(python)
    await host.start()
    answers = []
    for cell in cells:
        if cell is None:
            await host.restart()
        else:
            answers.append(await host.run(cell))
    await host.manager.shutdown_kernel(now=True)
    return answers


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], json.load(sys.stdin)))))
