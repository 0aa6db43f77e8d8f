"""An agent that knows nothing of work records: a generator, as Strands agents are. With an order in the question:

    [sleep 3]  thinks for three seconds
    [fail]     fails after its first words: the SDK then answers 200 and sends an error in the stream
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from bedrock_agentcore.runtime import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
async def invoke(payload: dict[str, Any]) -> AsyncIterator[str]:
    text = payload["question"]["text"]
    # In one write: print makes two, and the line of another thread's log may come between them.
    sys.stdout.write(f"thinks about {payload['question']['id']}\n")
    sys.stdout.flush()
    yield "You said: "
    if found := re.search(r"\[sleep ([\d.]+)\]", text):
        await asyncio.sleep(float(found[1]))
    if "[fail]" in text:
        raise ValueError("told to fail")
    yield text


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), host="127.0.0.1")
