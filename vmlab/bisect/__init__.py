"""Bisection: which of many revisions is the first bad one, though the bug may show seldom.

`belief`, `choose` and `engine` decide, as pure functions of counts; the other modules make
revisions of something (kernels, commits, options), run them, and tell what was found.
"""
