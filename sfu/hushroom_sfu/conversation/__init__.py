"""What the server and one client settle between them: sessions over signaling, and the SDP of their two legs."""
