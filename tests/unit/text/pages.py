"""Builds scraped-looking pages around articles: navigation, date line, caption, link lists, footer. For tests only."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

_NAVIGATION = {
    "en": [
        "Home",
        "World",
        "Business",
        "Sport",
        "Culture",
        "Opinion",
        "Video",
        "Sign in",
        "Subscribe to our newsletter",
    ],
    "zh": ["首页", "国际", "财经", "体育", "文化", "评论", "视频", "登录", "关注我们"],
}
_SECTIONS = {
    "en": [
        "Most Viewed",
        "Editor's Picks",
        "Today's Top News",
        "Related stories",
        "More from World",
        "Latest",
        "Read more",
    ],
    "zh": ["相关阅读", "热门文章", "推荐阅读", "今日头条", "更多新闻"],
}
_FOOTERS = {
    "en": ["Copyright 2013 The Daily Example. All rights reserved.", "Contact us | Privacy policy | Terms of use"],
    "zh": ["版权所有，未经授权不得转载。", "责任编辑：王小明"],
}
_CREDITS = {
    "en": ["(Agencies)", "By Jane Porter", "AFP-Reuters", "Xinhua"],
    "zh": ["来源：新华社", "记者 李明", "编辑：张华"],
}
_CAPTIONS = {
    "en": [
        "A view of the place where it happened, seen on Tuesday morning from a hill nearby. [Photo/Agencies] |",
        "People gather in the square before the meeting begins. Photo: Anna Bell/AFP",
        "File photo: officials arrive for talks at the old town hall, in a picture taken last year.",
    ],
    "zh": ["图为活动现场，众多市民冒雨前来参加。 [图/视觉中国]", "5月8日，工作人员在现场清理道路。新华社记者 王强 摄"],
}
_INLINE = {
    "en": ["Advertisement", "Share this article", "Story continues below | "],
    "zh": ["点击进入专题", "分享到："],
}


@dataclass(slots=True)
class Page:
    """Lines with the truth about each: "keep" (body, sub-head), "title", "date" or "drop"."""

    lines: list[str] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)

    def add(self, truth: str, *lines: str) -> None:
        for line in lines:
            self.lines.append(line)
            self.truth.append(truth)

    def blank(self) -> None:
        self.add("blank", "")

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True, slots=True)
class Article:
    """What a page is built from."""

    title: str
    date: str
    paragraphs: tuple[str, ...]


def build_page(article: Article, links: Sequence[str], language: str, chance: random.Random) -> Page:
    """One page; which of the surroundings it has, and how links are marked, is left to ``chance``."""
    page = Page()
    spaced = chance.random() < 0.4
    if chance.random() < 0.6:
        page.add("drop", *chance.sample(_NAVIGATION[language], chance.randint(2, 8)))
    if chance.random() < 0.2:
        page.add("drop", *_links(chance, links, 3))
    page.add("title", article.title)
    if chance.random() < 0.8:
        page.add("date", article.date)
    if chance.random() < 0.5:
        page.add("drop", chance.choice(_CREDITS[language]))
    if chance.random() < 0.3:
        page.add("drop", "|", "||||||||")
    if chance.random() < 0.5:
        page.add("drop", chance.choice(_CAPTIONS[language]))
    _add_body(page, article, language, chance, spaced=spaced)
    if chance.random() < 0.5:
        page.add("drop", chance.choice(_CREDITS[language]))
    for section in chance.sample(_SECTIONS[language], chance.randint(1, 4)):
        page.add("drop", section, *_links(chance, links, chance.randint(3, 9)))
    if chance.random() < 0.7:
        page.add("drop", *_FOOTERS[language])
    return page


def _add_body(page: Page, article: Article, language: str, chance: random.Random, *, spaced: bool) -> None:
    subhead_at = chance.randrange(1, len(article.paragraphs)) if chance.random() < 0.3 else -1
    furniture_at = chance.randrange(1, len(article.paragraphs)) if chance.random() < 0.3 else -1
    for number, paragraph in enumerate(article.paragraphs):
        if spaced:
            page.blank()
        if number == subhead_at:
            page.add("keep", " ".join(paragraph.split()[:4]) if language == "en" else paragraph[:6].rstrip("，。“”"))
        if number == furniture_at:
            page.add("drop", chance.choice(_INLINE[language]))
        page.add("keep", paragraph)


def _links(chance: random.Random, links: Sequence[str], number: int) -> list[str]:
    mark, tail = chance.choice([("", ""), ("- ", ""), ("", " |"), ("• ", ""), ("", "")])
    return [f"{mark}{link}{tail}" for link in chance.sample(list(links), min(number, len(links)))]
