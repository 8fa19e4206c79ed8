"""What is built for guests: user programs with musl, modules with the kernel's kbuild."""
