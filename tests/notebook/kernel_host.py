"""A notebook server as small as can be: starts a kernel, starts it anew when it has died, and runs cells.

    python jupyter-lab PYTHON < cells.json > outputs.json

Its file is copied under the name of the program that it stands for, by which a kernel knows what watches it.
A cell of `null` waits until the kernel has been started anew.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from jupyter_client.ioloop import AsyncIOLoopKernelManager


async def main(python: str, cells: list[str | None]) -> list[dict[str, Any]]:
    manager = AsyncIOLoopKernelManager()
    manager.kernel_spec.argv[0] = python
    manager.autorestart = True
    restarted = asyncio.Event()
    await manager.start_kernel()
    manager.add_restart_callback(restarted.set)
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    answers = []
    for cell in cells:
        if cell is None:
            await asyncio.wait_for(restarted.wait(), 30)
            await client.wait_for_ready(timeout=60)
            continue
        answers.append(await run(client, cell))
    await manager.shutdown_kernel(now=True)
    return answers


async def run(client: Any, cell: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    took = time.monotonic()
    reply = await client.execute_interactive(cell, output_hook=messages.append, timeout=120)
    said = "".join(one["content"]["text"] for one in messages if one["msg_type"] == "stream")
    shown = [one["content"]["data"] for one in messages if "data" in one["content"]]
    failed = [one["content"] for one in messages if one["msg_type"] == "error"]
    return {
        "status": reply["content"]["status"],
        "said": said,
        "shown": shown,
        "error": failed[0] if failed else None,
        "seconds": time.monotonic() - took,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], json.load(sys.stdin)))))
