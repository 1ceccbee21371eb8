"""The command line: serve, digest, summarize, translate, models, health."""
