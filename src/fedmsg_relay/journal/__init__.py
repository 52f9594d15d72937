"""The journal: one SQLite file with the messages that the relay accepted. All code that knows its tables is here."""
