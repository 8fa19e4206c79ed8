"""A run under gdb: symbols of kernel and modules, and a stop before a line of the console."""
