"""Rooms as pure state: who is in, what they publish, who wants to receive what. No sockets, clock or log here."""
