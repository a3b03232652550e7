"""A function that does nothing: what Python and Lambda's runtime client cost by themselves."""


def lambda_handler(_event: object, _context: object) -> dict[str, str]:
    return {"outcome": "nothing"}
