"""The command `hushroom`: what it is told, what it does, and what it says about it."""
