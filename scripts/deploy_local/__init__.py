"""`make deploy-local`: the raw template on an emulated AWS with IAM enforced, everything on loopback.

It deploys, runs, updates and deletes the stack, and prints each check as a line. What ministack, the emulator, does
not do as AWS does is said in so many words: see `shortfalls.py`.
"""
