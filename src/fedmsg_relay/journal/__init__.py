"""The journal: one SQLite file with what the relay accepted. Everything that knows its tables is here."""
