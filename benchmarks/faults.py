"""Every fault that is planted into clean samples: each trap of the design, at three severities, in physical terms.

A fault takes a sample and its severity (0 mild, 1 medium, 2 severe) and gives the faulty sample, or None where it
cannot be planted (no second subject, no base). Even the mild ones would harm a model that trains on them. Pixels under
the reference's mask are changed together with what the reference is said to be made of wherever that is how the fault
would really come about, so that comparing bytes does not give it away.
"""

import faults_base
import faults_identity
import faults_leaks
import faults_record
import faults_second_subject
from planted import Fault

LEAKS = frozenset({"background_inliers", "background_blocks", "rim_leak", "mask_leak"})
SIZES = frozenset({"area_ratio_min", "area_ratio_max"})
SECOND = frozenset({"second_subject", "split", "shared_mask"})
BASE = frozenset({"base_untouched", "base_copy", "base_identity", "base_silhouette", "base_seam", "base_step"})

FAULTS: dict[str, tuple[Fault, frozenset[str]]] = {
    "background leak: around the subject": (faults_leaks.leak_around, LEAKS),
    "background leak: the output's place": (faults_leaks.leak_elsewhere, LEAKS),
    "background leak: in the mask": (faults_leaks.loose_mask, LEAKS),
    "copy-paste": (faults_identity.copy_of_output, frozenset({"copy_ncc"})),
    "mirrored": (faults_identity.mirrored, frozenset({"handedness"})),
    "identity drift: redrawn": (faults_identity.drift, frozenset({"inexact_share", "identity"})),
    "identity drift: another individual": (
        faults_identity.another_individual,
        frozenset({"target_identity", "binding_margin"}),
    ),
    "identity drift: object expansion": (faults_identity.expanded, SIZES | SECOND),
    "identity drift: object partly lost": (faults_identity.painted_over, SIZES | {"inexact_share", "identity"}),
    "two subjects: a second copy": (faults_second_subject.second_copy, SECOND),
    "two subjects: another of the scene": (faults_second_subject.another_known, SECOND),
    "two subjects: one of the donor": (faults_second_subject.subject_of_donor, SECOND),
    "two subjects: a stranger nobody knows": (faults_second_subject.unknown_stranger, SECOND),
    "two subjects: one mask": (faults_second_subject.joined_mask, SECOND),
    "base: part of the subject left": (faults_base.left_in_base, BASE),
    "base: a ghost": (faults_base.ghost_in_base, BASE),
    "base: the subject elsewhere in the box": (faults_base.moved_in_base, BASE),
    "base: a cut-off shadow": (faults_base.cut_shadow, BASE),
    "wrong box or words: words": (faults_record.wrong_words, frozenset({"binding"})),
    "wrong box or words: box": (faults_record.wrong_box, frozenset({"lossy_share", "binding"})),
    "swapped references": (faults_record.swapped_references, frozenset({"binding_margin", "target_identity"})),
    "lossy bytes": (faults_record.lossy, frozenset({"lossy_share"})),
}
"""Every trap: how it is planted, and the checks made for it; that another check fails too does not count."""
