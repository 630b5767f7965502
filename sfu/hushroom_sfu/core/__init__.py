"""The forwarder: pure state machines. Packets and `now` go in, actions come out; no socket, clock, dice or log."""
