"""Tell the bus about new branches, in the manner of pkgdb2branch.py: branches.py PACKAGE BRANCH..."""

import sys

import fedmsg_relay as fedmsg

config = fedmsg.config.load_config([], None)
config["active"] = True
fedmsg.init(name="relay_inbound", cert_prefix="scm", **config)
for branch in sys.argv[2:]:
    fedmsg.publish(topic="branch", modname="git", msg={"name": sys.argv[1], "branch": branch})
