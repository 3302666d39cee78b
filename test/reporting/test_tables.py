from espnet_ros.reporting.tables import aligned_columns, markdown_table


def test_a_markdown_table_has_a_rule_that_aligns_its_columns():
    assert markdown_table(["name", "ms"], [["a", "1.0"], ["b", "2.0"]], "lr") == [
        "| name | ms |",
        "|---|---:|",
        "| a | 1.0 |",
        "| b | 2.0 |",
    ]


def test_aligned_columns_end_without_blanks():
    assert aligned_columns([["name", "ms", "note"], ["a", "12.5", ""]], "lrl") == ["name    ms  note", "a     12.5"]
