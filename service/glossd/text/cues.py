"""What a line of a scraped page looks like: prose, date line, caption, credit, page furniture. No context here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from glossd.text.lines import Line, LineForm
from glossd.text.words import count_words

_LONG_PROSE_WORDS = 15
_SHORT_PROSE_WORDS = 8
_UNENDED_PROSE_WORDS = 30
_HEADING_WORDS = 16

_TERMINAL_END = re.compile(r"[.!?\u2026。！？｡؟۔।][\"'”’»)\]）」』]{0,3}\Z")
_OPEN_END = re.compile(r"[:：;；,，][\"'”’»)）」』]?\Z")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}日?|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH},?\s+(?:19|20)\d\d|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+(?:19|20)\d\d)",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"[ T,]{0,3}(?:at )?\d{1,2}[:：]\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?(?: ?(?:GMT|UTC|[ECMP][SD]?T|BST|CEST?))?",
    re.IGNORECASE,
)
_DATE_LINE_WORDS = 14
_CAPTION = re.compile(
    r"[\[(（【](?:photo|picture|image|file photo|图|摄|资料图)[^\])）】]{0,60}[\])）】]"
    r"|(?:photo|picture|image)s? (?:by|courtesy)\b|\b(?:photo(?:graph)?s?|picture|image|credit)\s?:|getty images"
    r"|\Aimage (?:caption|source),|\A[▲△▼↑]|图[/／][\u4e00-\u9fff]{2,8}\Z"
    r"|/\s?(?:afp|reuters|ap|epa|xinhua|agencies)\b\W{0,3}\Z|\A(?:file photo|pictured|in this (?:file )?photo)\b"
    r"|[\u4e00-\u9fff]{1,6} ?摄[）)\]]?\Z|\A(?:资料图|图为|图片来源|图[:：])",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"\A[(\[（]?(?:by\s+\S|xinhua|reuters|afp|ap|agenc(?:y|ies)|china daily|associated press|bbc|dpa"
    r"|(?:from|source|posted|published|written by|words by) ?[:：]"
    r"|新华社|中新社|来源|作者|记者|编辑|.{1,40}\b(?:staff writer|correspondent)\Z)",
    re.IGNORECASE,
)
_CREDIT_WORDS = 7
_WRITES = r"(?:writer|columnist|journalist|reporter|editor|correspondent|author|critic|contributor|commentator)\b"
_NAME = r"[A-Z\u00c0-\u00de][\w.'’-]{0,20}"
_ABOUT_AUTHOR = re.compile(
    rf"{_NAME}(?: {_NAME}){{1,3}} (?:is|was) (?:an?|the|our)(?: [\w-]{{1,20}}){{0,3}} {_WRITES}"
    r"(?:\.?|,? (?:for|at|with|on|of|and|whose|based|in)\b.{0,120})"
    r"|[（(]?(?:本文)?作者(?:系|为|是|单位|简介).{1,60}|\w{2,4}[，,]?(?:本[报刊台]|特约|专栏)(?:记者|作家|撰稿人|评论员)[。]?",
    re.DOTALL,
)
_ABOUT_AUTHOR_WORDS = 25
_FURNITURE = re.compile(
    r"\ball rights reserved\b|\bcopyright\b|©|\bsubscribe\b|\bnewsletters?\b|\bsign (?:up|in)\b|\blog in\b"
    r"|\bfollow us\b|\bcookies?\b|\bprivacy policy\b|\bterms of (?:use|service)\b|\bshare (?:this|on)\b"
    r"|\Aread more\b|\Asee also\b|\Aadvertisement\b|\bclick here\b|\bto comment\b|\A\d* ?comments?\b|\Aprint\b"
    r"|\bcontact us\b|\Aback to top\b|\Atags?:|责任编辑|版权所有|未经授权|分享到|扫一扫|关注我们|返回首页|网友评论"
    r"|点击进入|字号|打印本页|联系我们|免责声明",
    re.IGNORECASE,
)
_FURNITURE_WORDS = 30
_FURNITURE_SENTENCE_WORDS = 12
_PLEA = re.compile(
    r"\bwe (?:and our partners )?use cookies\b|\bwe value your privacy\b|\bby continuing to (?:browse|use)\b"
    r"|\bby (?:signing up|clicking)\b.{0,60}\byou (?:agree|accept)\b|\bin(?:to)? your inbox\b|\bunsubscribe\b"
    r"|\bfree articles? (?:left|remaining)\b|\b(?:like|follow) us on\b|\A(?:sign up|subscribe|support us)\b"
    r"|\bsign up (?:for|to) our\b|\bsubscribe now\b|\ball rights reserved\b|\bsmall favou?r to ask\b|\bclick here to\b"
    r"|\bthis (?:interview|transcript|conversation) (?:has been|was) (?:lightly )?(?:edited|condensed)\b"
    r"|\A(?:related|read more|read also|also read|see also|watch|listen|more)(?: stor(?:y|ies))? ?[:：]"
    r"|\brush deadline\b|\Astory continues\b|\bemail address will not be published\b|\bturn on javascript\b"
    r"|\bthis (?:page|article|answer) (?:useful|helpful)\?|\A举报[/／]|\A特别声明|\A【?声明】?[:：]?本|信息存储服务"
    r"|(?:关注|扫码).{0,20}(?:公众号|官方微博)|长按二维码|仅代表作者|不代表本[网站]",
    re.IGNORECASE,
)
"""What asks readers for something, also in whole sentences."""
_PLEA_WORDS = 45
_BUTTON = re.compile(
    r"(?:share|tweet|reply|print|email|save|search|menu|like|load more|show more|accept(?: all)?|next|previous|pinned"
    r"|\d{1,2}[- ]min(?:ute)?s? read|breaking news|for immediate release|exclusive|opinion|enter your email"
    r"|post comment|leave a comment|manage preferences|help|careers|feedback|view gallery|rss"
    r"|回复|点赞|收藏|举报|展开|下载客户端|关闭窗口)",
    re.IGNORECASE,
)
_END_MARK = re.compile(r"#{3}|# # #|[-–—]\s?30\s?[-–—]|[-–—]*\s?ends?\s?[-–—]*|[（(]完[）)]", re.IGNORECASE)
_PATH = re.compile(r"\w [/>›»|] \w")
_SECTION = re.compile(
    r"(?:most|top|latest|recent|popular|trending|related|recommended|more)\b.{0,40}"
    r"|(?:editor'?s'?|editors’?|today'?s|today’s|our|staff)\s+(?:picks?|choices?|top|best).{0,30}"
    r"|(?:you may|you might|what to|read|see|also|don't miss|in other|elsewhere|around the|from the|special|hot"
    r"|us weekly)\b.{0,30}|(?:相关|热门|热点|推荐|延伸|更多|最新|今日|图片|精彩|频道|本周).{0,8}",
    re.IGNORECASE,
)
_SECTION_WORDS = 6


@dataclass(frozen=True, slots=True)
class Cues:
    """A line as evidence: its words, its shape, and a score that is positive for prose and negative for furniture.

    ``date`` is the date in it when the line is little else; ``section`` marks the heading of a list of links
    or the end of an article, ``path`` words between slashes or arrows, ``wrapped`` a line of a hard-wrapped paragraph.
    """

    form: LineForm
    text: str
    words: float
    terminal: bool
    open_end: bool
    date: str
    caption: bool
    credit: bool
    furniture: bool
    section: bool
    piped: bool
    path: bool = False
    wrapped: bool = False
    score: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "score", _score(self))

    @property
    def prose(self) -> bool:
        """A line that reads like a paragraph by itself."""
        return self.score > 0

    @property
    def short(self) -> bool:
        """Short and without a full stop, as headings and links are."""
        return not self.terminal and self.words <= _HEADING_WORDS


def read_cues(source: str, line: Line) -> Cues:
    """The cues of one line. Bounded look-aheads only: takes time linear in the line's length."""
    text = source[line.bodies[0].start : line.bodies[-1].end] if line.bodies else ""
    whole = source[line.span.start : line.span.end].strip()
    words = count_words(text)
    terminal = _TERMINAL_END.search(text[-8:]) is not None
    edges = text if len(text) < 500 else f"{text[:200]} {text[-200:]}"
    dated = text or whole if line.form is not LineForm.CODE else ""
    date = _DATE.search(dated) if dated and words <= _DATE_LINE_WORDS and len(dated) < 200 and not terminal else None
    return Cues(
        form=line.form,
        text=text,
        words=words,
        terminal=terminal,
        open_end=_OPEN_END.search(text[-4:]) is not None,
        date=_date_and_time(dated, date) if date else "",
        caption=bool(_CAPTION.search(edges)) and words < 90,
        credit=_is_credit(text, words, terminal=terminal),
        furniture=_is_furniture(edges, words, terminal=terminal),
        section=_is_section(text, whole, words, terminal=terminal),
        piped=whole.endswith(("|", "｜", "¦")),
        path=words <= _SECTION_WORDS and len(text) < 80 and bool(_PATH.search(text)),
    )


def _is_credit(text: str, words: float, *, terminal: bool) -> bool:
    """Who wrote it: a byline, or one sentence about the author alone on its line."""
    if words <= _CREDIT_WORDS and not terminal and _CREDIT.match(text):
        return True
    return 3 < words <= _ABOUT_AUTHOR_WORDS and _ABOUT_AUTHOR.fullmatch(text) is not None


def _is_furniture(edges: str, words: float, *, terminal: bool) -> bool:
    """Buttons, notices and pleas; a sentence of an article may well speak of cookies or newsletters."""
    if words <= _SECTION_WORDS and _BUTTON.fullmatch(edges):
        return True
    limit = _FURNITURE_SENTENCE_WORDS if terminal else _FURNITURE_WORDS
    return (words < limit and bool(_FURNITURE.search(edges))) or (words < _PLEA_WORDS and bool(_PLEA.search(edges)))


def _is_section(text: str, whole: str, words: float, *, terminal: bool) -> bool:
    if len(whole) < 12 and _END_MARK.fullmatch(whole):
        return True
    return words <= _SECTION_WORDS and not terminal and len(text) < 80 and bool(_SECTION.fullmatch(text))


def _date_and_time(text: str, date: re.Match[str]) -> str:
    time = _TIME.match(text, date.end())
    return text[date.start() : time.end() if time else date.end()]


def _score(cues: Cues) -> float:
    """How much a line speaks for the body: about +3 for a paragraph, -1 for a link, -6 for a links' heading."""
    if cues.form is LineForm.BLANK:
        return 0.0
    if cues.form is LineForm.CODE:
        return -0.2
    if cues.section:
        return -6.0
    if cues.form is LineForm.BARE:
        return -1.0
    if cues.furniture:
        return -2.0
    if cues.piped:
        return -2.0
    if cues.caption or cues.date or cues.credit:
        return -1.0
    if cues.form is LineForm.HEADING:
        return -0.5
    if cues.form in (LineForm.LIST_ITEM, LineForm.TABLE):
        asks = cues.text.endswith(("?", "？"))
        return 0.8 if cues.terminal and not asks and cues.words >= _SHORT_PROSE_WORDS else -1.2
    return _prose_score(cues)


def _prose_score(cues: Cues) -> float:
    """Longer paragraphs say more; a long line without an end is worth less, for some links are that long."""
    if cues.wrapped:
        return 1.0
    ended = cues.terminal or cues.open_end
    if cues.words >= _LONG_PROSE_WORDS and ended:
        return 3.0 + min(cues.words - _LONG_PROSE_WORDS, 60.0) / 20.0
    if cues.words >= _SHORT_PROSE_WORDS and ended:
        return 1.5
    if ended:
        return 0.3 if cues.terminal else -0.5
    if cues.words >= _UNENDED_PROSE_WORDS:
        return 1.5
    return -0.3 if cues.words >= _LONG_PROSE_WORDS else -1.0
