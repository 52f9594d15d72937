#!/usr/bin/env python3
"""Tell the bus that a branch was made: how a one-off Python script publishes.

Usage: pkgdb2branch.py PACKAGE BRANCH
"""

import argparse
import getpass
import sys

import fedmsg_relay as fedmsg
from fedmsg_relay.errors import RelayError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("branch")
    arguments = parser.parse_args()

    config = fedmsg.config.load_config([], None)
    config["active"] = True
    fedmsg.init(name="relay_inbound", cert_prefix="shell", **config)
    fedmsg.publish(
        topic="branch",
        modname="git",
        msg={"agent": getpass.getuser(), "name": arguments.package, "branch": arguments.branch},
    )


if __name__ == "__main__":
    try:
        main()
    except RelayError as error:  # neither a relay nor the spool has the message
        sys.exit(f"the bus was not told: {error}")
