"""``rlhub book``: Sutton & Barto's figures, each computed anew with the book's settings."""

from rlhub.hub.gallery import Gallery

GALLERY = Gallery(
    command="book",
    package="rlhub.foundations.figures",
    item="figure",
    about="Sutton & Barto's figures and examples (Reinforcement Learning: An Introduction, 2nd edition), computed with the book's settings",
)


def run(arguments: list[str]) -> int:
    """Carry out `list`, `figure KEY` or `all`."""
    return GALLERY.run(arguments)
