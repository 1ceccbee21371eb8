"""Figures that are one unit: clock times, dates in digits, long numbers; which of them stand in a translation."""

from __future__ import annotations

import pytest
from glossd.text.checks import check_translation
from glossd.text.figures import find_figures, lost_unit, without_units

STANDING = (
    ("The shop opens at 08:00.", "商店08:00开门。"),
    ("The shop opens at 08:00.", "商店早上8点开门。"),
    ("The shop opens at 8:30 p.m.", "商店晚上八点半开门。"),
    ("The train left at 18:45.", "火车下午6时45分开出。"),
    ("The train left at 18:45.", "火车18：45开出。"),
    ("His time was 1:59:40.", "他的成绩是1小时59分40秒。"),
    ("It starts at 12:00.", "中午开始。"),
    ("It is due on 2024-05-01.", "2024年5月1日到期。"),
    ("It is due on 12/05/2024.", "二〇二四年十二月五日到期。"),
    ("Call 555-123-4567.", "请拨打555-123-4567。"),
    ("There are 1,234,567 people.", "共有1234567人。"),
    ("There are 1,234,567 people.", "共有123.5万人。"),
    ("More than 300,000 came.", "来了30多万人。"),
    ("It costs 1,500 million.", "耗资15亿。"),
    ("会议下午5:30开始。", "The meeting starts at half past five."),
    ("会议在2024-05-01开始。", "The meeting starts on May 1, 2024."),
)
LOST = (
    ("The shop opens at 08:00.", "商店:000开门。"),
    ("The shop opens at 08:00.", "商店开门。"),
    ("The train left at 18:45.", "火车18:40开出。"),
    ("The train left at 18:45.", "火车18:4开出。"),
    ("It is due on 2024-05-01.", "2024年5月到期。"),
    ("Call 555-123-4567.", "请拨打555-123-456。"),
    ("There are 1,234,567 people.", "共有1,234,500人。"),
    ("The file is number 20240517.", "档案编号是2024051。"),
)


@pytest.mark.parametrize(("source", "target"), STANDING)
def test_a_unit_that_stands_in_some_form_is_not_lost(source: str, target: str) -> None:
    assert not lost_unit(source, target)


@pytest.mark.parametrize(("source", "target"), LOST)
def test_a_broken_unit_is_lost(source: str, target: str) -> None:
    assert lost_unit(source, target)
    assert check_translation(source, target, source_language="en", target_language="zh")


def test_figures_to_guard_are_whole_and_never_before_a_scale() -> None:
    text = "At 08:00 on 2024-05-01 some 1,234,567 paid $45.5 million, 12.5% of 300 or 8 million; the 1990s, the 45th."
    found = [text[span.start : span.end] for span in find_figures(text)]
    assert found == ["08:00", "2024-05-01", "1,234,567", "12.5", "300"]


def test_units_are_cut_out_and_a_number_before_a_scale_stays() -> None:
    assert without_units("At 08:00, 12,345 of 1,500 million.") == "At  ,   of 1,500 million."
