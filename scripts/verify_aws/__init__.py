"""`python -m scripts.verify_aws`: ask Secrets Manager what this product assumes of it."""
