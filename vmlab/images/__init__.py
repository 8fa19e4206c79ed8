"""The guest's userland."""
