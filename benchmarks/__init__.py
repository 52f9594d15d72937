"""Benchmarks: our relay, the stock relay and libzmq's bare proxy on the same work, in the same run."""
