"""The Python client: join a room, seal what you send, open what you receive."""
