"""The work of the role's modules on a host. It runs with the host's Python, 3.9 or newer."""
