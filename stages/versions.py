"""The version of each stage: part of every fingerprint, so a bump makes the rows of that stage, and of what consumed
them, pending again.

Bump VERSIONS by hand when a change alters what a stage gives for the same input; a refactoring needs no bump. A test
(tests/stages/test_versions.py) notices any change of the code below SOURCES and asks which of the two it was.
"""

VERSIONS: dict[str, int] = {
    "curate": 2,
    "mine": 4,
    "link": 2,
    "synthesize": 3,
    "verify": 4,
    "caption": 2,
}

SOURCES: dict[str, tuple[str, ...]] = {
    "curate": ("media", "shots", "gradual", "scoring", "curation"),
    "mine": ("media", "mining", "linking", "pairing", "foreground", "instances", "confidence", "descriptors"),
    "link": ("media", "linking", "recurrence", "pairing"),
    "synthesize": ("media", "generation", "manipulation", "compositing", "inpainting", "neighbours", "samples"),
    "verify": ("verification", "descriptors"),
    "caption": ("captions",),
}
"""The modules of `stages` a stage consists of, those its embedded roles are made of included; what these import from
`stages` belongs to it too.
"""
