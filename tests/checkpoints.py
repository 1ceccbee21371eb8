"""Tiny random checkpoints of the real transformers classes, with real tokenizers, for tests that compare with generate.

The weights are scaled so that outputs differ from input to input and end at different lengths; generation settings are
in the style of each family's published checkpoints. Nothing here belongs to the service.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tokenizer_files import (
    byte_level_tokenizer,
    m2m100_tokenizer,
    marian_tokenizer,
    parallel_sentences,
    sentencepiece_tokenizer,
    write_json,
)

WIDTH = 32
LIMIT = 28


@dataclass(frozen=True)
class Recipe:
    """How a family's checkpoint is made. ``gain`` multiplies every matrix, ``logit_std`` sets how peaked the
    distribution over the vocabulary is, ``eos_bias`` (T5: ``eos_gain``) how often the end token wins."""

    tokenizer: Callable[[Path], None]
    model_class: str
    config_class: str
    config: dict[str, Any]
    generation: dict[str, Any]
    gain: float = 2.5
    logit_std: float = 2.0
    eos_bias: float = 3.0
    eos_gain: float = 2.0
    learned_positions: bool = True
    own_head: bool = False


def parity_segments(count: int) -> list[str]:
    """``count`` different English segments of one word to a long sentence, in a fixed mixed order."""
    segments: list[str] = []
    sentences = [english.split() for english, _ in parallel_sentences()]
    for index in range(count):
        words = sentences[index % len(sentences)]
        shift = index // len(sentences)
        size = (1, 5, 12, 3, 20, 8, 2, 30, 6, 15)[index % 10]
        segments.append(" ".join(words[shift : shift + size] or words))
    return segments


def make_checkpoint(family: str, directory: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint of ``family`` (one of FAMILIES) into ``directory`` and return it.

    Files: config.json, generation_config.json, model.safetensors and the family's own tokenizer files.
    """
    import torch
    import transformers

    recipe = RECIPES[family]
    directory.mkdir(parents=True, exist_ok=True)
    recipe.tokenizer(directory)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
    generation = recipe.generation | _special_ids(family, tokenizer)
    starts = {name: generation[name] for name in _MODEL_IDS if name in generation}
    config_class = getattr(transformers, recipe.config_class)
    config = config_class(vocab_size=_vocabulary_size(tokenizer), **recipe.config, **starts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, recipe.model_class)(config).eval()
        _randomize(model, recipe, int(generation["eos_token_id"]))
    model.generation_config = transformers.GenerationConfig(**generation)
    tokenizer_config = (directory / "tokenizer_config.json").read_bytes()
    model.save_pretrained(directory)
    (directory / "tokenizer_config.json").write_bytes(tokenizer_config)
    if recipe.own_head:
        settings = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        settings.pop("scale_decoder_outputs", None)
        write_json(directory / "config.json", settings | {"tie_word_embeddings": False})
    return directory


_MODEL_IDS = ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id")


def _vocabulary_size(tokenizer: Any) -> int:
    """Room for every id that the tokenizer can give."""
    ids: list[int] = [*tokenizer.get_vocab().values(), *getattr(tokenizer, "lang_token_to_id", {}).values()]
    return max(ids) + 1 + int(getattr(tokenizer, "num_madeup_words", 0))


def _special_ids(family: str, tokenizer: Any) -> dict[str, Any]:
    """Ids of the generation config, as the family's published checkpoints set them."""
    pad, eos, bos = tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id
    ids: dict[str, Any] = {"pad_token_id": pad, "eos_token_id": eos}
    if family == "marian":
        return ids | {
            "bos_token_id": eos,
            "decoder_start_token_id": pad,
            "forced_eos_token_id": eos,
            "bad_words_ids": [[pad]],
        }
    if family == "bart":
        return ids | {
            "bos_token_id": bos,
            "decoder_start_token_id": eos,
            "forced_bos_token_id": bos,
            "forced_eos_token_id": eos,
        }
    if family == "mbart":
        start = tokenizer.convert_tokens_to_ids("zh_CN")
        return ids | {"bos_token_id": bos, "decoder_start_token_id": start, "forced_eos_token_id": eos}
    if family == "mbart50":
        return ids | {"bos_token_id": bos, "decoder_start_token_id": eos, "forced_eos_token_id": eos}
    if family in ("m2m100", "nllb"):
        return ids | {"bos_token_id": bos, "decoder_start_token_id": eos}
    if family == "pegasus":
        return ids | {"decoder_start_token_id": pad, "forced_eos_token_id": eos}
    return ids | {"decoder_start_token_id": pad}


def _randomize(model: Any, recipe: Recipe, eos: int) -> None:
    """Redraw every weight so that the next token depends on the token, its position, the history and the source."""
    import torch

    if recipe.own_head:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    tied_t5 = model.config.model_type == "t5" and not recipe.own_head
    embedding_std = recipe.logit_std if tied_t5 else recipe.logit_std / WIDTH**0.5
    scale = WIDTH**0.5 if getattr(model.config, "scale_embedding", False) else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" in name:
                if recipe.learned_positions:
                    parameter.normal_(0.0, embedding_std * scale)
            elif "relative_attention_bias" in name:
                parameter.normal_(0.0, 2.0)
            elif "shared" in name or "embed_tokens" in name or "lm_head" in name:
                parameter.normal_(0.0, embedding_std)
            elif parameter.dim() > 1:
                parameter.normal_(0.0, _gain(name, recipe) / parameter.shape[1] ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                parameter.normal_(1.0, 0.1)
            else:
                parameter.normal_(0.0, 0.1)
            if name.endswith(("fc2.weight", "wo.weight")):
                parameter -= parameter.mean(dim=1, keepdim=True)  # or ReLU would add one constant direction
        # Random signs before the output: with shared embeddings every token would otherwise predict itself.
        norm = [module for name, module in model.named_modules() if _is_last_norm(name)][-1]
        norm.weight *= torch.randint(0, 2, norm.weight.shape) * 2 - 1
        end = model.get_output_embeddings().weight[eos]
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias[0, eos] = recipe.eos_bias
        elif getattr(norm, "bias", None) is not None:
            norm.bias.copy_(recipe.eos_bias * end / end.square().sum())
        else:
            end *= recipe.eos_gain


def _is_last_norm(name: str) -> bool:
    """Whether this may be the norm that the output projection reads; the last such module of a model is."""
    return "decoder" in name and name.endswith("norm")


def _gain(name: str, recipe: Recipe) -> float:
    """How much a matrix amplifies; T5 does not scale its attention scores, so its queries and keys are smaller."""
    if name.endswith((".q.weight", ".k.weight")):
        return 1.0
    if "q_proj" in name or "k_proj" in name:
        return 1.7
    if "ttn" in name or "ttention" in name:
        return 1.3
    return recipe.gain


def _bart_shape(**changes: Any) -> dict[str, Any]:
    """Sizes of a tiny BART-like model; the decoder's numbers differ from the encoder's where ``changes`` says so."""
    sizes: dict[str, Any] = {
        "d_model": WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 2 * WIDTH,
        "decoder_ffn_dim": 2 * WIDTH,
        "max_position_embeddings": 256,
        "dropout": 0.0,
    }
    return sizes | changes


def _t5_shape(**changes: Any) -> dict[str, Any]:
    """Sizes of a tiny T5; heads times their width is not the model's width, as in T5-small's relatives."""
    sizes: dict[str, Any] = {
        "d_model": WIDTH,
        "d_kv": 12,
        "d_ff": 2 * WIDTH,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 20,
        "dropout_rate": 0.0,
    }
    return sizes | changes


_T5_PIECES: dict[str, Any] = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_T5_TASKS: dict[str, Any] = {
    "summarization": {
        "early_stopping": True,
        "length_penalty": 2.0,
        "max_length": 200,
        "min_length": 30,
        "no_repeat_ngram_size": 3,
        "num_beams": 4,
        "prefix": "summarize: ",
    },
    "translation_en_to_de": {
        "early_stopping": True,
        "max_length": 300,
        "num_beams": 4,
        "prefix": "translate English to German: ",
    },
}
_NLLB_TOKENS: dict[str, Any] = {
    "src_lang": "eng_Latn",
    "extra_special_tokens": ["arb_Arab", "deu_Latn", "eng_Latn", "fra_Latn", "zho_Hans", "zho_Hant"],
}
_T5_TOKENIZER = sentencepiece_tokenizer("T5Tokenizer", "spiece.model", {"extra_ids": 20}, **_T5_PIECES)
_MBART_SHAPE = _bart_shape(scale_embedding=True)

RECIPES: dict[str, Recipe] = {
    "marian": Recipe(
        marian_tokenizer,
        "MarianMTModel",
        "MarianConfig",
        _bart_shape(scale_embedding=True, activation_function="swish"),
        {"max_length": LIMIT, "num_beams": 4, "renormalize_logits": True},
        learned_positions=False,
        gain=4.0,
        eos_bias=5.0,
    ),
    "bart": Recipe(
        byte_level_tokenizer,
        "BartForConditionalGeneration",
        "BartConfig",
        _bart_shape(activation_function="gelu"),
        {
            "max_length": LIMIT,
            "min_length": 8,
            "num_beams": 4,
            "length_penalty": 2.0,
            "early_stopping": True,
            "no_repeat_ngram_size": 3,
        },
        gain=4.0,
        eos_bias=4.5,
    ),
    "mbart": Recipe(
        sentencepiece_tokenizer("MBartTokenizer", "sentencepiece.bpe.model", {"src_lang": "en_XX"}),
        "MBartForConditionalGeneration",
        "MBartConfig",
        _MBART_SHAPE,
        {"max_length": LIMIT, "num_beams": 5},
    ),
    "mbart50": Recipe(
        sentencepiece_tokenizer("MBart50Tokenizer", "sentencepiece.bpe.model", {"src_lang": "en_XX"}),
        "MBartForConditionalGeneration",
        "MBartConfig",
        _MBART_SHAPE,
        {"max_length": LIMIT, "num_beams": 5, "early_stopping": True},
        eos_bias=2.2,
    ),
    "pegasus": Recipe(
        sentencepiece_tokenizer("PegasusTokenizer", "spiece.model", {}, **_T5_PIECES),
        "PegasusForConditionalGeneration",
        "PegasusConfig",
        _bart_shape(encoder_layers=3, scale_embedding=True, activation_function="relu"),
        {"max_length": LIMIT, "num_beams": 8, "length_penalty": 0.8},
        learned_positions=False,
        eos_bias=4.0,
    ),
    "m2m100": Recipe(
        m2m100_tokenizer,
        "M2M100ForConditionalGeneration",
        "M2M100Config",
        _bart_shape(encoder_layers=3, scale_embedding=True, encoder_layerdrop=0.0, decoder_layerdrop=0.0),
        {"max_length": LIMIT, "num_beams": 5, "early_stopping": True},
        learned_positions=False,
    ),
    "nllb": Recipe(
        sentencepiece_tokenizer("NllbTokenizer", "sentencepiece.bpe.model", _NLLB_TOKENS, model_type="bpe"),
        "M2M100ForConditionalGeneration",
        "M2M100Config",
        _bart_shape(scale_embedding=True, encoder_layerdrop=0.0, decoder_layerdrop=0.0),
        {"max_length": LIMIT},
        learned_positions=False,
        gain=4.0,
        eos_bias=4.0,
    ),
    "t5": Recipe(
        _T5_TOKENIZER,
        "T5ForConditionalGeneration",
        "T5Config",
        _t5_shape(feed_forward_proj="relu", task_specific_params=_T5_TASKS),
        {"max_length": LIMIT},
    ),
    "flan-t5": Recipe(
        _T5_TOKENIZER,
        "T5ForConditionalGeneration",
        "T5Config",
        _t5_shape(feed_forward_proj="gated-gelu", num_layers=3),
        {"max_length": LIMIT},
        own_head=True,
    ),
    "mt5": Recipe(
        _T5_TOKENIZER,
        "MT5ForConditionalGeneration",
        "MT5Config",
        _t5_shape(feed_forward_proj="gated-gelu"),
        {"max_length": LIMIT},
        own_head=True,
        eos_gain=2.5,
    ),
    "umt5": Recipe(
        _T5_TOKENIZER,
        "UMT5ForConditionalGeneration",
        "UMT5Config",
        _t5_shape(feed_forward_proj="gated-gelu"),
        {"max_length": LIMIT},
        own_head=True,
    ),
}
FAMILIES: tuple[str, ...] = tuple(RECIPES)
