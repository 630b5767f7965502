"""The server's doors: HTTP, the WebSocket of signaling, and the tokens that open it."""
