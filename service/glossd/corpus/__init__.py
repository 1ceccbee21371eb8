"""The corpus runner: many articles from files, through an engine, into one file, journalled so that nothing is lost.

The road of a record::

    sources, readers   files to ``Record`` or ``BadRecord``, in order and numbered by position
    run                cuts the positions into shards, skips those that the journal has, hands the rest to an engine
    engine             ``CorpusEngine``: records in, ``Outcome`` out, in any order, a bounded number at work
    output, journal    a shard's rows to a file of its own, renamed when whole, then one line in the journal
    output             at the end all shards as one file, in the order of the input

**An engine of another kind** (a fleet, a cluster) is one class with the methods of
:class:`glossd.corpus.engine.CorpusEngine`. It gets ``Record`` (which has the document to send) and a
:class:`glossd.corpus.recipe.Recipe` (what to make), and gives back one ``Outcome`` for each record: a ``Row``, which
only :func:`glossd.corpus.rows.row_of` makes from a ``DigestResult``, or a ``Failure``, which only
:func:`glossd.corpus.rows.failure_of` makes from an error. So rows are the same whatever engine made them.
:func:`glossd.corpus.engine.longest_first` puts records into the order of work. The command line builds engines in
``glossd.cli.corpus_engines``.
"""
