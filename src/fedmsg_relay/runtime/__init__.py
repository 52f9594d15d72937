"""Parts that all of the daemon uses: log, threads, paths, systemd, limits."""
