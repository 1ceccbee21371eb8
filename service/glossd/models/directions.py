"""Which languages a checkpoint reads and writes, and what its own tokenizer calls them. Names only, no tensors.

What is known comes, in this order, from ``manifest.json`` beside the weights, from the tokenizer's settings, from the
tokens of its vocabulary, and from the checkpoint's name ("opus-mt-en-zh").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glossd.languages import Language, all_languages, find_language

_NAMED_PAIR = re.compile(r"-([A-Za-z]{2,8}(?:_[A-Za-z]{2,4})?)-([A-Za-z]{2,8}(?:_[A-Za-z]{2,4})?)$")
_MACRO = {"zho": ("cmn", "zho"), "arb": ("ara", "arb"), "ind": ("ind", "msa")}
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "roa": ("fr", "es", "it", "pt", "ro"),
    "itc": ("fr", "es", "it", "pt", "ro"),
    "romance": ("fr", "es", "it", "pt", "ro"),
    "gem": ("en", "de", "nl"),
    "gmw": ("en", "de", "nl"),
    "sla": ("ru", "uk", "pl"),
    "zle": ("ru", "uk"),
}


@dataclass(frozen=True, slots=True)
class Directions:
    """BCP-47 codes of the language table that a checkpoint reads and writes; for a summarizer both are the same."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


def iso3_names(language: Language) -> tuple[str, ...]:
    """Three-letter names that OPUS-MT may use for a language, the most exact first ("cmn_Hans", "zho_Hans", "cmn")."""
    head, _, script = (language.nllb or language.iso).partition("_")
    heads = _MACRO.get(head, (head,))
    exact = tuple(f"{name}_{script}" for name in heads) if script else ()
    return exact + heads + (language.iso,)


def marian_target_token(language: Language, vocabulary: Mapping[str, int]) -> str:
    """The ``>>cmn_Hans<<`` token of a target language in a Marian vocabulary, "" where there is none."""
    names = iso3_names(language)
    if language.code == "zh-Hant":  # a bare Chinese name means the simplified script
        names = tuple(name for name in names if name.endswith("Hant"))
    tokens = (f">>{name}<<" for name in names)
    return next((token for token in tokens if token in vocabulary), "")


def find_by_any_name(name: str) -> tuple[Language, ...]:
    """Languages that a two- or three-letter code, a family column or an OPUS group name stands for; () if unknown."""
    if not name:
        return ()
    if name.lower() in _GROUPS:
        members = (find_language(code) for code in _GROUPS[name.lower()])
        return tuple(member for member in members if member is not None)
    if name.lower() in ("mul", "multi"):
        return all_languages()
    found = find_language(name) if len(re.split("[-_]", name)[0]) == 2 else None
    if found is not None:
        return (found,)
    same = (language for language in all_languages() if name in (language.mbart, language.nllb, *iso3_names(language)))
    return tuple(same)[:1]


def manifest_directions(manifest: Mapping[str, Any]) -> Directions | None:
    """What ``manifest.json`` says: ``source_languages`` and ``target_languages``, or one ``source_language`` each."""
    sides = []
    for side in ("source", "target"):
        names = manifest.get(f"{side}_languages") or manifest.get(f"{side}_language") or ()
        names = (names,) if isinstance(names, str) else tuple(str(name) for name in names)
        sides.append(_codes([language for name in names for language in find_by_any_name(name)]))
    return Directions(sides[0], sides[1]) if sides[0] and sides[1] else None


def marian_directions(settings: Mapping[str, Any], vocabulary: Mapping[str, int], name: str) -> Directions:
    """Directions of a Marian checkpoint from its tokenizer's ``source_lang`` and ``target_lang``, tokens and name."""
    pair = _NAMED_PAIR.search(name)
    named = pair.groups() if pair else ("", "")
    source = find_by_any_name(str(settings.get("source_lang") or "")) or find_by_any_name(named[0])
    target = find_by_any_name(str(settings.get("target_lang") or "")) or find_by_any_name(named[1])
    marked = [language for language in all_languages() if marian_target_token(language, vocabulary)]
    sources, targets = source or all_languages(), tuple(marked) or target or all_languages()
    if len(sources) > len(targets) == 1:
        sources = tuple(language for language in sources if language != targets[0])
    return Directions(_codes(sources), _codes(targets))


def column_directions(column: str, known: Mapping[str, int], name: str, forced: int | None) -> Directions:
    """Directions of a multilingual checkpoint whose tokenizer ``known`` has a token for each language of ``column``.

    ``forced``: the target token that the checkpoint always writes ("many-to-one"), or None.
    """
    served = [language for language in all_languages() if getattr(language, column) in known]
    sources, targets = served, served
    fixed = [language for language in served if known[getattr(language, column)] == forced]
    if fixed:
        targets, sources = fixed, [language for language in served if language not in fixed]
    elif "one-to-many" in name:
        sources = [language for language in served if language.code == "en"]
        targets = [language for language in served if language.code != "en"]
    elif "many-to-one" in name:
        targets = [language for language in served if language.code == "en"]
        sources = [language for language in served if language.code != "en"]
    return Directions(_codes(sources), _codes(targets))


def prompted_directions(tasks: Mapping[str, Any], *, multilingual: bool) -> Directions:
    """Directions of a T5: those of its ``translation_en_to_de`` entries; English where it names none."""
    if multilingual:
        every = _codes(all_languages())
        return Directions(every, every)
    pairs = [match.groups() for task in tasks if (match := re.fullmatch(r"translation_(\w+)_to_(\w+)", task))]
    sources = _codes([language for source, _ in pairs for language in find_by_any_name(source)])
    targets = _codes([language for _, target in pairs for language in find_by_any_name(target)])
    return Directions(sources or ("en",), targets or ("en",))


def _codes(languages: Sequence[Language]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(language.code for language in languages))
