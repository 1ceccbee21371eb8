"""The tokenizer against transformers' own, for every family and language, and from many threads."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from glossd.errors import InvalidInputError, UnsupportedLanguageError
from glossd.languages import all_languages
from glossd.models.tokenizer import Tokenizer, TokenizerFacts, load_tokenizer
from transformers import AutoConfig, AutoTokenizer

from tests.checkpoints import FAMILIES, parity_segments
from tests.tokenizer_files import parallel_sentences

Checkpoints = Callable[..., Path]
COLUMNS = {"mbart": "mbart", "mbart50": "mbart", "m2m100": "m2m", "nllb": "nllb"}
TEXTS = (
    *parity_segments(12),
    "",
    " ",
    "  two  spaces ",
    "line\nbreak\ttab",
    "中文混合 English 123,456.",
    "😀 naïve “q”",
)


def reference(directory: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)


def ours(directory: Path, **facts: Any) -> Tokenizer:
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    return load_tokenizer(directory, config, TokenizerFacts(config.model_type, **facts))


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_and_text_are_those_of_transformers(family: str, checkpoints: Checkpoints) -> None:
    directory = checkpoints(family)
    theirs, tokenizer = reference(directory), ours(directory)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert list(ids) == theirs(text)["input_ids"], text
        assert tokenizer.count(text) in (len(ids), len(ids) + 1)
        expected = theirs.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert tokenizer.decode(ids) == expected


@pytest.mark.parametrize("family", COLUMNS)
def test_every_language_gets_the_special_tokens_of_transformers(family: str, checkpoints: Checkpoints) -> None:
    directory = checkpoints(family)
    theirs, tokenizer = reference(directory), ours(directory)
    tried = 0
    for language in all_languages():
        name = getattr(language, COLUMNS[family])
        if language.code not in tokenizer.source_language_codes:
            continue
        theirs.src_lang = name
        for text in TEXTS[:4]:
            ids = tokenizer.encode(text, source_language=language.code, target_language="en")
            assert list(ids) == theirs(text)["input_ids"]
        expected = theirs.get_lang_id(name) if family == "m2m100" else theirs.convert_tokens_to_ids(name)
        forced, start = tokenizer.forced_bos_token_id(language.code), tokenizer.decoder_start_token_id(language.code)
        assert (forced, start) == ((None, expected) if family == "mbart" else (expected, None))
        tried += 1
    assert tried == {"mbart": 15, "mbart50": 19, "m2m100": 19, "nllb": 6}[family]


def test_threads_do_not_see_each_others_language(checkpoints: Checkpoints) -> None:
    tokenizer = ours(checkpoints("mbart50"))
    languages = ("en", "zh-Hans", "de", "fr", "ru", "ja")
    jobs = [(languages[index % 6], TEXTS[index % 4]) for index in range(600)]
    expected = [tokenizer.encode(text, source_language=language) for language, text in jobs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: tokenizer.encode(job[1], source_language=job[0]), jobs))
    assert found == expected


def test_a_language_without_a_token_is_refused_by_name(checkpoints: Checkpoints) -> None:
    tokenizer = ours(checkpoints("mbart50"))
    for code in ("zh-Hant", "tlh"):
        with pytest.raises(UnsupportedLanguageError) as caught:
            tokenizer.encode("a", source_language=code, target_language="en")
        assert caught.value.field == "document.language_code"
        with pytest.raises(UnsupportedLanguageError) as caught:
            tokenizer.forced_bos_token_id(code)
        assert caught.value.field == "target_language_code"


@pytest.mark.parametrize("family", ["marian", "bart", "m2m100", "t5"])
def test_half_a_surrogate_pair_is_invalid_input(family: str, checkpoints: Checkpoints) -> None:
    tokenizer = ours(checkpoints(family))
    for call in (tokenizer.encode, tokenizer.count):
        with pytest.raises(InvalidInputError, match=r"U\+D800 at character 2"):
            call("ab\ud800c")


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_written_in_a_text_do_not_steer_the_model(family: str, checkpoints: Checkpoints) -> None:
    tokenizer = ours(checkpoints(family))
    theirs = reference(checkpoints(family))
    around = len(tokenizer.encode(""))
    special = set(theirs.all_special_ids) - {theirs.unk_token_id}
    for text in ("a </s> b", "</s>", "zh_CN", "<extra_id_0> x", ">>cmn_Hant<< hello", "__zh__ b", "zho_Hans"):
        ids = tokenizer.encode(text)
        assert sum(token in special for token in ids) <= around, text


def test_a_marian_target_mark_goes_before_the_source(checkpoints: Checkpoints) -> None:
    directory = checkpoints("marian")
    theirs, tokenizer = reference(directory), ours(directory)
    for code, mark in (("zh-Hans", ">>cmn_Hans<<"), ("zh", ">>cmn_Hans<<"), ("zh-TW", ">>cmn_Hant<<")):
        ids = tokenizer.encode("A town.", source_language="en", target_language=code)
        assert list(ids) == theirs(f"{mark} A town.")["input_ids"]
    assert tokenizer.source_language_codes == ("en",)
    assert tokenizer.target_language_codes == ("zh-Hans", "zh-Hant")
    with pytest.raises(UnsupportedLanguageError, match="target_language_code: fr has no token"):
        tokenizer.encode("A town.", source_language="en", target_language="fr")


def test_a_t5_is_told_what_to_do(checkpoints: Checkpoints) -> None:
    directory = checkpoints("t5")
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    tokenizer = ours(directory, task_params=config.task_specific_params)
    theirs = reference(directory)
    asked = {
        ("en", "en"): "summarize: ",
        ("en", ""): "summarize: ",
        ("en", "de"): "translate English to German: ",
        ("en", "fr"): "translate English to French: ",
    }
    for (source, target), prompt in asked.items():
        ids = tokenizer.encode("A town.", source_language=source, target_language=target)
        assert list(ids) == theirs(prompt + "A town.")["input_ids"]
        served = target != "fr"
        assert not served or len(ids) <= tokenizer.count("A town.") <= len(ids) + 12
    assert tokenizer.source_language_codes == ("en",)
    assert tokenizer.target_language_codes == ("de",)


def test_chinese_comes_back_from_a_marian_target_vocabulary(checkpoints: Checkpoints) -> None:
    tokenizer = ours(checkpoints("marian"))
    vocabulary = json.loads((checkpoints("marian") / "vocab.json").read_text(encoding="utf-8"))
    chinese = parallel_sentences()[0][1]
    ids = [vocabulary[character] for character in chinese if character in vocabulary]
    assert tokenizer.decode([*ids, 0]) == "".join(character for character in chinese if character in vocabulary)
