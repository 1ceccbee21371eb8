"""Says which language a text is in: by script where that decides, by letter statistics for Latin script. No network.

Latin script goes to ``lingua`` in its low-accuracy mode (three-letter statistics), over every Latin-script language
of the table, served or not, so that French never becomes English for want of a better name. That mode costs about
20 MB and 0.3 s once (full accuracy: about 290 MB and 5 s); short texts are its weak side, so its verdict is flattened
by length.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from glossd.languages import all_languages, find_language
from glossd.types import DetectedLanguage

_HEAD_CHARACTERS = 2_000
_SAMPLES = 4
_SAMPLE_CHARACTERS = 250
_SURE_LETTERS = 80
_SERVED_PRIOR = 2.0
_WIDE_WEIGHT = 4.0
"""A Han or Hangul character says as much as this many letters of an alphabet."""

_SCRIPTS = {
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff]"),
    "hangul": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f]"),
    "devanagari": re.compile("[\u0904-\u0939\u0958-\u0961]"),
    "latin": re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]"),
}
_LETTER = re.compile(r"[^\W\d_]")
_WIDE_SCRIPTS = ("han", "kana", "hangul")
_VIETNAMESE = re.compile("[ăâđêôơưĂÂĐÊÔƠƯ\u1ea0-\u1ef9àáãèéìíòóõùúýÀÁÃÈÉÌÍÒÓÕÙÚÝ]")

_SIMPLIFIED = frozenset(
    "这国们来时说会个为过对发经学后里见开关门问间闻东车马鸟鱼长张书买卖读写认识让议论记设许语请谁课调谈该话诉试证评词译"
    "财贝负责贵费贸资赛赞贷购质贫货钱铁银错针镇钟钢红纪约级组织经结给绝统继续绿网线练细终绍纸总战场头实专业亚产亲两严"
    "丽举义乐习乡农达运还进远连选边难电热爱现环医应广庆库庙废听启员响团园围图圆块坏声处备复够夺奋妇妈孙宁宝审宫宽宾"
    "导尽层岁岛师带帮归当录态怀恶恼悬惊惯惧愿战戏扑执扩扫扬抚护报担拥择挥损换据无旧显晓术机杀杂权条杨极构标栏树样桥梦"
    "检楼欢欧残毕气汉汤沟没泪泽洁济浓涛润温湾满灭灯灵点炼烂烟烦烧"
)
_TRADITIONAL = frozenset(
    "這國們來時說會個為過對發經學後裡見開關門問間聞東車馬鳥魚長張書買賣讀寫認識讓議論記設許語請誰課調談該話訴試證評詞譯"
    "財貝負責貴費貿資賽贊貸購質貧貨錢鐵銀錯針鎮鐘鋼紅紀約級組織經結給絕統繼續綠網線練細終紹紙總戰場頭實專業亞產親兩嚴"
    "麗舉義樂習鄉農達運還進遠連選邊難電熱愛現環醫應廣慶庫廟廢聽啟員響團園圍圖圓塊壞聲處備復夠奪奮婦媽孫寧寶審宮寬賓"
    "導盡層歲島師帶幫歸當錄態懷惡惱懸驚慣懼願戰戲撲執擴掃揚撫護報擔擁擇揮損換據無舊顯曉術機殺雜權條楊極構標欄樹樣橋夢"
    "檢樓歡歐殘畢氣漢湯溝沒淚澤潔濟濃濤潤溫灣滿滅燈靈點煉爛煙煩燒"
)


class LanguageDetector:
    """Detects languages; ``codes`` are those being served. One detector may be used by many threads."""

    def __init__(self, codes: Sequence[str]) -> None:
        found = (find_language(code) for code in codes)
        self._served = frozenset(language.code for language in found if language is not None)
        self._lock = threading.Lock()
        self._lingua: Any = None

    def detect(self, text: str) -> DetectedLanguage:
        """The language of ``text``, and how sure that is; "und" with 0.0 when there are no letters of a known script.

        Looks at the first 2,000 code points and at four samples from the rest: bounded time for a text of any length.
        """
        sample = _sample(text)
        shares = _script_shares(sample)
        if not shares:
            return DetectedLanguage("und", 0.0)
        script = max(shares, key=lambda name: shares[name])
        share = shares[script]
        if script == "other":
            return DetectedLanguage("und", 0.0)
        if script == "latin":
            code, confidence = self._latin(sample)
            return DetectedLanguage(code, round(confidence * share, 4))
        return DetectedLanguage(_by_script(script, shares, sample), round(share, 4))

    def preload(self) -> None:
        """Loads the statistics now, so that no request waits for them."""
        self._detector()

    def _latin(self, sample: str) -> tuple[str, float]:
        letters = len(_LETTER.findall(sample))
        power = min(1.0, letters / _SURE_LETTERS)
        scores: dict[str, float] = {}
        for value in self._detector().compute_language_confidence_values(sample):
            code = value.language.iso_code_639_1.name.lower()
            if code == "vi" and _VIETNAMESE.search(sample) is None:
                continue
            scores[code] = max(value.value, 1e-9) ** power * (_SERVED_PRIOR if code in self._served else 1.0)
        best = max(scores, key=lambda code: scores[code])
        return best, scores[best] / sum(scores.values())

    def _detector(self) -> Any:
        with self._lock:
            if self._lingua is None:
                # a large compiled library: loaded with the first Latin-script text, not with the package
                from lingua import IsoCode639_1, LanguageDetectorBuilder

                isos = [language.iso.upper() for language in all_languages() if language.script == "Latn"]
                codes = [getattr(IsoCode639_1, iso) for iso in isos]
                builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode()
                self._lingua = builder.with_preloaded_language_models().build()
            return self._lingua


def _sample(text: str) -> str:
    head = text[:_HEAD_CHARACTERS]
    rest = len(text) - _HEAD_CHARACTERS
    if rest <= _SAMPLES * _SAMPLE_CHARACTERS:
        return head + text[_HEAD_CHARACTERS:]
    starts = (_HEAD_CHARACTERS + rest * number // _SAMPLES for number in range(_SAMPLES))
    return "\n".join([head, *(text[start : start + _SAMPLE_CHARACTERS] for start in starts)])


def _script_shares(sample: str) -> dict[str, float]:
    """The share of each script in the letters, wide characters weighted; {} without letters."""
    counts = {name: float(len(pattern.findall(sample))) for name, pattern in _SCRIPTS.items()}
    counts["other"] = max(0.0, len(_LETTER.findall(sample)) - sum(counts.values()))
    for name in _WIDE_SCRIPTS:
        counts[name] *= _WIDE_WEIGHT
    # kana and Han together are one script here; which language that is comes later
    if counts["kana"] > 0.1 * (counts["han"] + counts["kana"]):
        counts["kana"] += counts.pop("han")
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items() if count} if total else {}


def _by_script(script: str, shares: dict[str, float], sample: str) -> str:
    if script == "han":
        simplified = sum(character in _SIMPLIFIED for character in sample)
        traditional = sum(character in _TRADITIONAL for character in sample)
        both = sum(character in _SIMPLIFIED and character in _TRADITIONAL for character in sample)
        return "zh-Hant" if traditional - both > simplified - both else "zh-Hans"
    if script == "cyrillic":
        ukrainian = len(re.findall("[іїєґІЇЄҐ]", sample))
        russian = len(re.findall("[ыэъёЫЭЪЁ]", sample))
        return "uk" if ukrainian > russian else "ru"
    return {"kana": "ja", "hangul": "ko", "arabic": "ar", "devanagari": "hi"}[script]
