"""Wire formats and words shared by hushroom's server and clients. No I/O, clock, log or cipher lives here."""
