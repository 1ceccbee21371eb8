"""What models are fed and how their sentences are finished."""

from __future__ import annotations

import pytest
from glossd.text.normalize import normalize_source
from glossd.text.target import finish_target
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("raw", "finished"),
    [
        ('他 说 : "今天 天气 很 好."', "他说：“今天天气很好。”"),
        ("美国, 中国和俄罗斯;", "美国，中国和俄罗斯；"),
        ("真的吗?", "真的吗？"),
        ("增长了 3.5% , 达到 1,250 亿", "增长了 3.5%，达到 1,250 亿"),
        ("会议 (周一) 结束.", "会议（周一）结束。"),
        ("使用 Python 3.11 (x86) 版本", "使用 Python 3.11 (x86) 版本"),
        ("时间是 6:31 。", "时间是 6:31。"),
        ("他说...", "他说……"),
        ("价格为38欧元.", "价格为38欧元。"),
        ("网址 https://a.b/c?d=e,f 可用", "网址 https://a.b/c?d=e,f 可用"),
        ("他用的是iPhone.", "他用的是iPhone。"),
        ("“好”, 他说", "“好”，他说"),
        ("Node.js 22", "Node.js 22"),
        ("《人民日报》, 周一", "《人民日报》，周一"),
    ],
)
def test_chinese_gets_chinese_punctuation_and_no_spaces(raw: str, finished: str) -> None:
    assert finish_target(raw, "zh-Hans") == finished


@given(
    st.text(alphabet=st.sampled_from("中文字a1é ,.;:?!()\"'“”，。（）…-%《》"), max_size=60),
    st.sampled_from(["zh", "ja", "en"]),
)
def test_finishing_changes_only_marks_and_spaces(text: str, code: str) -> None:
    assert [one for one in finish_target(text, code) if one.isalnum()] == [one for one in text if one.isalnum()]


@pytest.mark.parametrize("text", ["他说：“好，”然后（周一）走了……", "增长了3.5%，达到1,250亿。"])
def test_a_finished_sentence_stays_as_it_is(text: str) -> None:
    assert finish_target(text, "zh") == text


def test_a_language_with_spaces_keeps_its_marks() -> None:
    assert finish_target("  It rained, he said.  ", "en") == "It rained, he said."


def test_authored_chinese_is_already_finished(sentence_pairs: object) -> None:
    pairs = sentence_pairs.sentences  # type: ignore[attr-defined]
    changed = [other for _, other in pairs if finish_target(other, "zh") != other]
    assert len(changed) <= 0.01 * len(pairs)


@pytest.mark.parametrize(
    ("raw", "code", "normal"),
    [
        ("“It’s”\u00a02–3  years…", "en", '"It\'s" 2-3 years...'),
        ("Wait , what ? Yes !", "en", "Wait, what? Yes!"),
        ("use .NET and :memory:", "en", "use .NET and :memory:"),
        ("C’est vrai !", "fr", "C'est vrai !"),
        ("２０１７年，“好”…", "zh", "2017年，“好”…"),
        ("one\ntwo\tthree", "de", "one two three"),
        ("the law — the old one — fell", "en", "the law — the old one — fell"),
    ],
)
def test_sources_are_made_as_the_training_text_was(raw: str, code: str, normal: str) -> None:
    assert normalize_source(raw, code) == normal


@given(st.text(max_size=200), st.sampled_from(["en", "zh", "fr", "ja", "xx"]))
def test_normalizing_twice_changes_nothing(text: str, code: str) -> None:
    once = normalize_source(text, code)
    assert normalize_source(once, code) == once
