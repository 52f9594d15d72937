"""The web process: history, a live stream, metrics and a page beside a relay. It reads, and never writes."""
