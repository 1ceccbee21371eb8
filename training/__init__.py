"""Training of the embedded English to Chinese model: data, trainer, export and evaluation. Not part of the wheel."""
