"""What operators run: ``fedmsg-relay`` and its subcommands."""
