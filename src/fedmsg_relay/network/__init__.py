"""Endpoints and connections: ZMTP, who connects, what a peer may send."""
