"""What the owner of a server sees of it: log lines and metrics, without names, secrets or addresses."""
