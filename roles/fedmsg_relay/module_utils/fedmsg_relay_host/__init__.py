"""What the role's modules do on a host. It runs with the host's Python, 3.9 or newer."""
