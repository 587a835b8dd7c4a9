"""``rlhub theory``: what theory promises beside what an algorithm does."""

from rlhub.hub.gallery import Gallery

GALLERY = Gallery(
    command="theory",
    package="rlhub.foundations.theory",
    item="",
    about="measured quantities beside the bounds of Agarwal, Jiang, Kakade & Sun (Reinforcement Learning: Theory and Algorithms)",
)


def run(arguments: list[str]) -> int:
    """Carry out `list`, `all`, or the experiment named."""
    return GALLERY.run(arguments)
