"""A kernel test lab on QEMU."""
