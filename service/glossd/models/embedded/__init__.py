"""The checkpoint that comes with the package, as data: one directory, `glossd-en-zh`. No code lives here."""
