"""A relay that is chained to others: the connections to a relay upstream, and what comes back over them."""
