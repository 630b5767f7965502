"""Media of the client: encoded frames between sources, the network and sinks. What seals and opens them is in `e2ee`."""
