"""What the Python programs that read masked results share: the statement, and what must have come of it."""

from checks import equal

EVERY_TYPE = ("SELECT id, name, ssn, email, tax, profile, dossier, tags, balance, born, photo, home, search "
              "FROM people ORDER BY id")


def masked(rows, document=lambda value: value):
    """Eight people of whom nobody else's names are known; `document` reads JSON where the driver does not."""
    equal(len(rows), 8)
    for number, row in enumerate(rows, 1):
        person, name, ssn, email, tax, profile, dossier, tags, balance, born, photo, home, search = row
        equal((person, name, ssn, tax), (number, f"Person {number}", "[redacted]", "[redacted]"))
        equal(len(email), 20)
        profile = document(profile)
        equal((profile["plan"], profile["secret"], profile["address"]["street"]), ("free", "[redacted]", "[redacted]"))
        equal(tags, ["[redacted]", None])
        equal((dossier, balance, born, photo, home, search), (None,) * 6)
    print(rows)
