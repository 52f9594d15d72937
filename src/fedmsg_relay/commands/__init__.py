"""The commands that operators run: ``fedmsg-relay`` and its subcommands."""
