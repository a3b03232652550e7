"""`make deploy-local` deploys the raw template to an emulated AWS on loopback, with IAM enforced.

It deploys, runs, updates and deletes a stack of one connection, and then one of many, and prints one line for each
check. `shortfalls.py` says where ministack, the emulator, differs from AWS, and the command prints that too.
"""
