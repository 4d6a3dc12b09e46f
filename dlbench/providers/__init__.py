"""Sources of offers, one file each: the file's name is the source's.

A source is a module with ``fetch`` as ``core.fetching.Provider`` has it. It returns what it could read
and a sentence on each thing that it could not; it raises only if it could read nothing.
"""
