"""The data plane: one UDP port, ICE-lite, DTLS, SRTP and the fan-out engine. No room, no SDP and no key of a frame."""
