"""Made sentence pairs whose two sides agree by construction: dates, amounts, addresses, invented names."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from training.sources import Pair, Term

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = (("Monday", "一"), ("Tuesday", "二"), ("Wednesday", "三"), ("Thursday", "四"), ("Friday", "五"),
         ("Saturday", "六"), ("Sunday", "日"))  # fmt: skip
_SYLLABLES = (
    "ka", "ver", "ton", "mar", "li", "ro", "sen", "dra", "bel", "no", "vi", "tar", "gu", "lo", "hen", "ri",
    "os", "ash", "wen", "bro", "ki", "za", "lin", "dor", "mi", "fer", "che", "pra", "ul", "kov", "ström", "nak",
    "eri", "cal", "the", "jo", "bur", "sin", "ola", "quin", "mac", "pol", "ter", "ez", "ina", "ham", "sk",
    "rup", "wal", "dez", "fitz", "ber", "gra", "yo", "suf", "eb", "ik",
)  # fmt: skip
_COUNTED = (("people", "人"), ("dollars", "美元"), ("tons of grain", "吨粮食"), ("euros", "欧元"), ("yuan", "元"),
            ("visitors", "名游客"), ("jobs", "个工作岗位"), ("vehicles", "辆汽车"), ("children", "名儿童"),
            ("barrels of oil", "桶石油"), ("pounds", "英镑"), ("residents", "名居民"))  # fmt: skip
_SITES = ("example", "worldnews", "cityhall", "techreview", "openarchive", "northpost", "dataportal", "greenfund")
_AGENCIES = (("Xinhua", "新华社"), ("Reuters", "路透社"), ("AFP", "法新社"), ("AP", "美联社"), ("BBC", "英国广播公司"),
             ("China Daily", "中国日报"), ("Kyodo", "共同社"), ("TASS", "塔斯社"), ("Agencies", "通讯社"))  # fmt: skip
_THINGS = (("company", "公司"), ("magazine", "杂志"), ("bank", "银行"), ("group", "集团"), ("foundation", "基金会"),
           ("hotel", "酒店"), ("start-up", "初创企业"), ("university", "大学"), ("website", "网站"), ("ship", "船只"),
           ("app", "应用程序"), ("newspaper", "报纸"))  # fmt: skip
_SAID = (("said", "说"), ("told reporters", "对记者说"), ("wrote", "写道"), ("added", "补充说"), ("warned", "警告说"))
_CLAIMS = (
    ("the plan would go ahead", "计划将继续推进"), ("talks would resume next week", "谈判将于下周恢复"),
    ("the vote had been postponed", "投票已推迟"), ("more help was needed", "还需要更多援助"),
    ("the results were encouraging", "结果令人鼓舞"), ("no decision had been made", "尚未作出决定"),
    ("prices would keep rising", "价格将继续上涨"), ("the bridge was safe", "这座桥是安全的"),
)  # fmt: skip


def invented_name(rng: random.Random, words: int) -> str:
    """A name that no lexicon holds, such as "Verdra" or "Kovlin Burez"."""
    return " ".join("".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3))).capitalize() for _ in range(words))


def chinese_amount(millions: float) -> str:
    """An amount given in millions in Chinese counting: 3.5 is 350万, 120 is 1.2亿."""
    units = round(millions * 1_000_000)
    value, suffix = (units / 1e8, "亿") if units >= 1e8 else (units / 1e4, "万")
    return f"{value:.4f}".rstrip("0").rstrip(".") + suffix


def _date(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    month, day, year = rng.randint(1, 12), rng.randint(1, 28), rng.randint(1900, 2030)
    name = _MONTHS[month - 1]
    short = name[:3] + "." if rng.random() < 0.2 and len(name) > 4 else name
    form = rng.choice((f"{short} {day}, {year}", f"{day} {short} {year}"))
    place = rng.choice(places)
    return rng.choice(
        (
            Pair(form, f"{year}年{month}月{day}日"),
            Pair(f"{place.source}, {form}", f"{place.target}，{year}年{month}月{day}日"),
            Pair(f"It opened in {place.source} on {form}.", f"它于{year}年{month}月{day}日在{place.target}开幕。"),
            Pair(f"The meeting will be held on {short} {day}.", f"会议将于{month}月{day}日举行。"),
        )
    )


def _weekday(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    (day, number), person = rng.choice(_DAYS), rng.choice(people)
    (verb, chinese_verb), (claim, chinese_claim) = rng.choice(_SAID), rng.choice(_CLAIMS)
    when, said = rng.choice(("周", "星期")) + number, f"{chinese_verb}，{chinese_claim}。"
    return rng.choice(
        (
            Pair(f"{person.source} {verb} on {day} that {claim}.", f"{person.target}{when}{said}"),
            Pair(f"On {day}, {person.source} {verb} that {claim}.", f"{when}，{person.target}{said}"),
        )
    )  # fmt: skip


def _amount(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    scale, factor = rng.choice((("million", 1.0), ("billion", 1000.0), ("thousand", 0.001)))
    value = rng.choice((float(rng.randint(1, 900)), rng.randint(10, 999) / 10))
    noun, chinese = rng.choice(_COUNTED)
    text = f"{value:g} {scale} {noun}"
    amount = chinese_amount(value * factor) if value * factor >= 0.01 else f"{value * 1000:g}"
    if noun in ("dollars", "euros", "pounds") and rng.random() < 0.6:
        text = {"dollars": "$", "euros": "€", "pounds": "£"}[noun] + f"{value:g} {scale}"
    return rng.choice(
        (
            Pair(text, amount + chinese),
            Pair(f"more than {text}", f"超过{amount}{chinese}"),
            Pair(f"about {text}", f"约{amount}{chinese}"),
        )
    )


def _percent(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    value = rng.choice((f"{rng.randint(1, 99)}", f"{rng.randint(1, 999) / 10:g}"))
    sign = rng.choice(("%", " percent", " per cent"))
    place = rng.choice(places)
    verb, chinese = rng.choice((("rose", "上升"), ("fell", "下降"), ("grew", "增长")))
    return Pair(f"In {place.source} it {verb} {value}{sign}.", f"在{place.target}，这一数字{chinese}了{value}%。")


def _address(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    site = rng.choice(_SITES) + rng.choice((".org", ".com", ".net", ".cn"))
    url = f"https://{rng.choice(('www.', ''))}{site}/{rng.choice(('news', 'report', 'a/b', 'en', '2024/05'))}"
    mail = f"{rng.choice(('info', 'press', 'editor', 'help'))}@{site}"
    return rng.choice(
        (
            Pair(f"For more information, visit {url}.", f"更多信息请访问{url}。"),
            Pair(f"Please write to {mail}.", f"请写信至{mail}。"),
            Pair(f"Details are at {url}", f"详情见{url}"),
            Pair(f"Source: {site}", f"来源：{site}"),
        )
    )


def _page_furniture(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    stamp = f"{rng.randint(2000, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    (agency, chinese), place, person = rng.choice(_AGENCIES), rng.choice(places), rng.choice(people)
    name = invented_name(rng, words=2)
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        (
            Pair(f"Updated: {stamp} {clock}", f"更新时间：{stamp} {clock}"),
            Pair(f"Published {stamp}", f"发布时间：{stamp}"),
            Pair(f"({agency})", f"（{chinese}）"),
            Pair(f"({agency}/Agencies)", f"（{chinese}/通讯社）"),
            Pair(f"[Photo/{agency}]", f"[图片/{chinese}]"),
            Pair("[Photo/Agencies]", "[图片/通讯社]"),
            Pair(f"By {name}", f"作者：{name}"),
            Pair(f"{name}, {agency}", f"{name}，{chinese}"),
            Pair(f"{person.source}, {clock}", f"{person.target}，{clock}"),
            Pair(
                f"{place.source.upper()}, {_MONTHS[month - 1]} {day} ({agency}) -",
                f"{chinese}{place.target}{month}月{day}日电",
            ),
        )
    )


def _clock(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    hour, minute, second = rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59)
    clock = rng.choice((f"{hour:02}:{minute:02}", f"{hour}:{minute:02}", f"{hour:02}:00"))
    twelve = f"{(hour - 1) % 12 + 1}:{minute:02}"
    half, chinese_half = rng.choice((("a.m.", "上午"), ("p.m.", "下午"), ("am", "上午"), ("pm", "下午")))
    stamp = f"{rng.randint(2000, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    place, (day, number) = rng.choice(places), rng.choice(_DAYS)
    return rng.choice(
        (
            Pair(f"{stamp} {clock}", f"{stamp} {clock}"),
            Pair(f"{stamp} {clock}:{second:02}", f"{stamp} {clock}:{second:02}"),
            Pair(f"The ceremony begins at {clock}.", f"仪式于{clock}开始。"),
            Pair(f"The train left {place.source} at {clock} on {day}.", f"列车周{number}{clock}离开{place.target}。"),
            Pair(
                f"At {twelve} {half} the power failed in {place.source}.",
                f"{chinese_half}{twelve}，{place.target}停电。",
            ),
            Pair(f"It happened at {twelve} {half} on {day}.", f"事情发生在周{number}{chinese_half}{twelve}。"),
            Pair(f"Open from {hour}:00 to {min(hour + 8, 24)}:00", f"开放时间：{hour}:00至{min(hour + 8, 24)}:00"),
        )
    )


def _figure(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    number = f"{rng.randint(1000, 10 ** rng.randint(4, 9)):,}"
    digits = "".join(rng.choices("0123456789", k=rng.randint(5, 11)))
    place, (noun, chinese) = rng.choice(places), rng.choice(_COUNTED)
    low, high = sorted(rng.sample(range(2, 400), 2))
    return rng.choice(
        (
            Pair(f"{number} {noun}", f"{number}{chinese}"),
            Pair(f"In {place.source} {number} {noun} were counted.", f"在{place.target}共统计到{number}{chinese}。"),
            Pair(f"The number is {digits}.", f"号码是{digits}。"),
            Pair(f"Call {digits} for help.", f"求助请拨打{digits}。"),
            Pair(f"The team won {high}-{low}.", f"球队以{high}比{low}获胜。"),
            Pair(f"between {low} and {high} {noun}", f"{low}至{high}{chinese}"),
        )
    )


def _copied(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    kind, chinese = rng.choice(_THINGS)
    name, place = invented_name(rng, words=rng.randint(1, 3)), rng.choice(places)
    code = "".join(rng.choices("ABCDEFGHKLMNPRSTVXZ", k=rng.randint(2, 4))) + rng.choice(("", f"-{rng.randint(1, 99)}"))
    return rng.choice(
        (
            Pair(f"the {kind} {name}", f"{chinese}{name}"),
            Pair(f"The {kind} {name} is based in {place.source}.", f"{chinese}{name}总部设在{place.target}。"),
            Pair(f"{name}, a {kind} in {place.source}", f"{place.target}的{chinese}{name}"),
            Pair(f"{name} ({code})", f"{name}（{code}）"),
            Pair(f"The {code} was shown in {place.source}.", f"{code}在{place.target}展出。"),
            Pair(name, name),
        )
    )


def _unknown_name(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    name, place = invented_name(rng, words=rng.randint(1, 2)), rng.choice(places)
    (verb, chinese_verb), (claim, chinese_claim) = rng.choice(_SAID), rng.choice(_CLAIMS)
    return rng.choice(
        (
            Pair(f"{name} {verb} that {claim}.", f"{name}{chinese_verb}，{chinese_claim}。"),
            Pair(f"{name} lives in {place.source}.", f"{name}住在{place.target}。"),
            Pair(f"{name} met officials in {place.source}.", f"{name}在{place.target}会见了官员。"),
        )
    )


_MAKERS: tuple[Callable[[random.Random, Sequence[Term], Sequence[Term]], Pair], ...] = (
    _date, _weekday, _amount, _percent, _address, _page_furniture, _clock, _figure, _copied,
    _unknown_name, _unknown_name,
)  # fmt: skip


def synthetic_pair(rng: random.Random, people: Sequence[Term], places: Sequence[Term]) -> Pair:
    """One made pair; people and places come from the lexicon."""
    return rng.choice(_MAKERS)(rng, people, places)
