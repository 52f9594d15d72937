"""Plans a run of the role: from the inventory and what the hosts said to the steps of each host, or a refusal."""
