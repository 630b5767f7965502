"""The server: signaling and a selective forwarding unit that holds no keys and no code that opens frames."""
