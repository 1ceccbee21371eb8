"""Strings only, no torch: documents, segments, languages, extraction, extractive summaries."""
