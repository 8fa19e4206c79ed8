"""One booted kernel, and the contract between it and the host."""
