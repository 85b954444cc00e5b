"""Explaining: what do two models, one with attention weights and one without, look at in the same sentence?

Each becomes a page: open it, move over a word, and see what it looks at.
"""

import sys
from pathlib import Path

import zoo

REVIEW = "a lesson in how not to spend two hours , but never boring"


def main(folder, review=REVIEW, presets=("mixer_multi_head_sst2", "mixer_gru_sst2")):
    """Writes a page for each preset, prints the words that add most to its answer, and returns the explanations."""
    found = {}
    for name in presets:
        found[name] = zoo.explain(name, review, out=Path(folder) / f"{name}.html")
        shares = zip(found[name].subject, found[name].parts["integrated gradients"])
        most = sorted(shares, key=lambda share: -abs(share[1]))[:4]
        print(f"{name}: {found[name].answer} Most of it by {', '.join(f'{word} {share:+.2f}' for word, share in most)}")
        print(f"  maps: {', '.join((*found[name].looks, *found[name].parts))}")
    return found


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
