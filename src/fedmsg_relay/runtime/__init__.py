"""What every part of the daemon uses: log, threads, paths, systemd, limits."""
