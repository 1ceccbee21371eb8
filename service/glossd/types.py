"""Frozen values that cross layers: what a caller asks, what a task answers, what the engine is given. No behaviour.

Offsets and lengths are Unicode code points, times are nanoseconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class FinishReason(Enum):
    """Why a text ended."""

    COMPLETE = "complete"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    FAILED = "failed"
    PASSTHROUGH = "passthrough"


class Priority(Enum):
    """Who waits for whom: INTERACTIVE goes before BULK."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class Extraction(Enum):
    """Which part of a document is used: FULL keeps every line, MAIN_CONTENT headline and body only."""

    FULL = "full"
    MAIN_CONTENT = "main_content"


class SummaryMethod(Enum):
    """AUTO is ABSTRACTIVE where a summarization model is loaded, else EXTRACTIVE (no model)."""

    AUTO = "auto"
    EXTRACTIVE = "extractive"
    ABSTRACTIVE = "abstractive"


class MimeType(Enum):
    """What a document's text is written in."""

    PLAIN = "text/plain"
    HTML = "text/html"
    MARKDOWN = "text/markdown"


class WarningCode(Enum):
    """Things a caller should know about an answer that is still an answer."""

    INPUT_TRUNCATED = "input_truncated"
    SEGMENT_SPLIT = "segment_split"
    LOW_LANGUAGE_CONFIDENCE = "low_language_confidence"
    LANGUAGE_MISMATCH = "language_mismatch"
    CHARACTERS_REPLACED = "characters_replaced"
    SUMMARY_NOT_SHORTER = "summary_not_shorter"
    EXTRACTION_UNCERTAIN = "extraction_uncertain"
    OUTPUT_TRUNCATED = "output_truncated"
    REPETITION_SUSPECTED = "repetition_suspected"
    OMISSION_SUSPECTED = "omission_suspected"
    TERM_MISSED = "term_missed"
    MARKUP_DROPPED = "markup_dropped"
    PASSED_THROUGH = "passed_through"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range ``[start, end)`` of code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Warning:
    """One warning; ``source`` is where in the source text, if anywhere."""

    code: WarningCode
    message: str
    source: Span | None = None


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """BCP-47 code ("und" when unknown) and confidence in 0..1."""

    language_code: str
    confidence: float


@dataclass(frozen=True, slots=True)
class DocumentInput:
    """A document as a caller sends it. ``language_code`` None asks for detection."""

    text: str
    mime_type: MimeType = MimeType.PLAIN
    language_code: str | None = None
    extraction: Extraction = Extraction.FULL


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """How to summarize; at most one of the three lengths. None for all asks for the default length."""

    method: SummaryMethod = SummaryMethod.AUTO
    words: int | None = None
    sentences: int | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What a caller may set of decoding; None keeps the model's own default."""

    num_beams: int | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    repetition_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class GlossaryEntry:
    """``source`` must be translated as ``target``; matched exactly unless ``ignore_case``."""

    source: str
    target: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a caller may set of scheduling and terms. ``deadline_ns`` is on the ``time.monotonic_ns`` clock.

    What a server adds: ``caller`` is the name of the caller's token, "" without one; ``max_tokens`` the most source
    tokens of one document, None for no limit.
    """

    priority: Priority = Priority.INTERACTIVE
    fairness_key: str = ""
    allow_partial: bool = False
    glossary: tuple[GlossaryEntry, ...] = ()
    do_not_translate: tuple[str, ...] = ()
    deadline_ns: int | None = None
    caller: str = ""
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost. Token counts are the model's own, without padding.

    ``terms_found`` is how often glossary and do-not-translate terms stand in the source, ``terms_kept`` how many of
    those came through as asked for.
    """

    input_characters: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    segments: int = 0
    cached_segments: int = 0
    queue_ns: int = 0
    compute_ns: int = 0
    terms_found: int = 0
    terms_kept: int = 0


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """One translated or chosen segment and where it stands on both sides."""

    text: str
    source: Span
    target: Span
    score: float
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class TextResult:
    """A text that glossd made.

    ``score`` is the mean log-probability per token over its segments (0.0 where no model ran);
    ``source_coverage`` the share of the source's segments that was read to make it, 0..1.
    """

    text: str
    language_code: str
    model: str
    finish_reason: FinishReason
    segments: tuple[SegmentResult, ...] = ()
    score: float = 0.0
    source_coverage: float = 1.0
    warnings: tuple[Warning, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """Decoding settings of one sequence, resolved against the model's defaults; meanings as in ``transformers``.

    ``forced_bos_token_id`` is the first generated token (a target language, for multilingual models);
    ``forced_eos_token_id`` is put where the length limit falls. ``suppressed`` token ids are never produced;
    ``bad_words`` are token sequences that are never completed; ``once`` are tokens that are produced once at most.
    ``renormalize`` makes what the rules leave sum to one again, which moves beam scores.
    """

    decoder_start_token_id: int
    eos_token_ids: tuple[int, ...]
    max_new_tokens: int
    min_new_tokens: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    suppressed: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    once: tuple[int, ...] = ()
    renormalize: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One segment for the engine: token ids with their special tokens, how to decode them and who shares with whom.

    The engine is fair between callers, and between the fairness keys of one caller.
    """

    source_ids: tuple[int, ...]
    params: GenerationParams
    priority: Priority = Priority.INTERACTIVE
    fairness_key: str = ""
    deadline_ns: int | None = None
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """What the engine made of one request.

    ``token_ids`` are the new tokens with the end token and without start or padding. ``score`` is, for beams,
    the length-penalised sum of log-probabilities that ``transformers`` calls ``sequences_scores``; for greedy the
    plain sum of log-probabilities divided by the number of tokens. ``compute_ns`` includes ``encode_ns``.
    """

    token_ids: tuple[int, ...]
    score: float
    finish_reason: FinishReason
    queue_ns: int = 0
    compute_ns: int = 0
    cached: bool = False
    encode_ns: int = 0


@dataclass(frozen=True, slots=True)
class AlignmentRequest:
    """A source and what a model made of it, both with their special tokens; the start token is the decoder's first."""

    source_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    decoder_start_token_id: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """``weights[t][s]``: how much of its attention the decoder gave source token s to write token t. Rows sum to 1."""

    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class LanguagePair:
    """A direction that some model serves."""

    source_language_code: str
    target_language_code: str
    models: tuple[str, ...]


class ModelState(Enum):
    """Where a model is in its life."""

    KNOWN = "known"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the outside may know of a model. ``window_tokens`` 0 means no fixed limit."""

    name: str
    state: ModelState
    family: str
    tasks: tuple[str, ...]
    source_language_codes: tuple[str, ...]
    target_language_codes: tuple[str, ...]
    window_tokens: int
    parameters: int
    dtype: str
    device: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TranslateTask:
    """One document to translate. ``model`` "" picks the default of the pair."""

    document: DocumentInput
    target_language_code: str
    model: str = ""
    decode: DecodeOptions = DecodeOptions()
    options: RequestOptions = RequestOptions()


@dataclass(frozen=True, slots=True)
class SummarizeTask:
    """One document to summarize in its own language."""

    document: DocumentInput
    summary: SummaryOptions = SummaryOptions()
    model: str = ""
    decode: DecodeOptions = DecodeOptions()
    options: RequestOptions = RequestOptions()
