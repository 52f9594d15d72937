"""A chained relay's side of the chain: its connections to a relay upstream, and what comes back over them."""
