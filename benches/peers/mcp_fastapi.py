"""What an MCP server costs on the stack that madrox's stands on: FastAPI on uvicorn, one process, JSON-RPC in a POST.

It answers every call from memory, without a store, tokens, sessions or schemas, so it does less than madrox's own server
does for the same call, and less than ours: a ratio to it is the least that can be said. Prints its port, then serves.
Needs `pip install fastapi uvicorn`.
"""

import json
import socket

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()
INSTANCES = {"engine": True, "runs": [], "cursor": 0}


@app.post("/mcp")
async def mcp(request: Request):
    body = await request.json()
    method = body.get("method")
    if method == "initialize":
        server = {"name": "peer", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": server}
    elif method == "tools/call":
        text = {"type": "text", "text": json.dumps(INSTANCES)}
        result = {"content": [text], "structuredContent": INSTANCES, "isError": False}
    else:
        result = {}
    return {"jsonrpc": "2.0", "id": body.get("id"), "result": result}


if __name__ == "__main__":
    # Named as TCP, or asyncio does not switch off the waiting for more to send, and every answer takes 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listener])
