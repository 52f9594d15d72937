"""The relay's trust: a verdict on each message, reached as stock fedmsg 1.1.7 reaches it, without its faults.

Nothing here does I/O but :mod:`fedmsg_relay.trust.authority`, which reads the files of the CA and of its CRL.
"""
