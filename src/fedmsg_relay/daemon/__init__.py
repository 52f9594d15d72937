"""The relay itself: its loop, the stages that each message goes through, its settings and its status."""
