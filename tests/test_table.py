"""What `vmlab run` shows while it works and at its end."""

from vmlab.report import table


def test_the_status_line_names_what_is_under_way_and_is_short():
    assert table.progress(0, 72, ["a 6.1"]) == "0 of 72 done; under way: a 6.1"
    line = table.progress(3, 72, [f"{name} 6.1" for name in "abc"])
    assert line == "3 of 72 done; under way: a 6.1 and 2 more"
    assert table.progress(72, 72, []) == "72 of 72 done"
