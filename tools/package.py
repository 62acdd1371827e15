"""`package.py TEMPLATE BUCKET`: upload a template to S3 and print its URL."""

import hashlib
import sys
from pathlib import Path

import boto3


def upload(template: Path, bucket: str) -> str:
    """Upload a template under the hash of its content."""
    content = template.read_bytes()
    client = boto3.client("s3")
    key = f"bindery/{hashlib.sha256(content).hexdigest()[:32]}.yaml"
    client.put_object(Bucket=bucket, Key=key, Body=content)
    return f"https://{bucket}.s3.{client.meta.region_name}.amazonaws.com/{key}"


if __name__ == "__main__":
    sys.stdout.write(upload(Path(sys.argv[1]), sys.argv[2]) + "\n")
