"""Endpoints and connections: ZMTP, the peers that are connected, the limits on what they send."""
