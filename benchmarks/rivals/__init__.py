"""Rivals that keep what they take: JetStream, RabbitMQ and Redis beside our relay, each asked for a receipt."""
