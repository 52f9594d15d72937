"""The bridge: carries messages between the journal and RabbitMQ, in the wire format of fedora-messaging."""
