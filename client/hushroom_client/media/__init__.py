"""Media of the client: encoded frames between sources, the network and sinks; `e2ee` seals and opens them."""
