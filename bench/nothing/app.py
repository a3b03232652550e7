"""A function that does nothing. It shows what Python and Lambda's runtime client cost without any code of ours."""


def lambda_handler(_event: object, _context: object) -> dict[str, str]:
    return {"outcome": "nothing"}
