"""Upload a packaged template to S3 and print its URL: `python package.py <template> <bucket>`, for `make package`.

Run by the SAM CLI's own Python, which has boto3.
"""

import hashlib
import sys
from pathlib import Path

import boto3


def upload(template: Path, bucket: str) -> str:
    """Upload the template under a name that changes with its content. Return its URL."""
    content = template.read_bytes()
    client = boto3.client("s3")
    key = f"bindery/{hashlib.sha256(content).hexdigest()[:32]}.yaml"
    client.put_object(Bucket=bucket, Key=key, Body=content)
    return f"https://{bucket}.s3.{client.meta.region_name}.amazonaws.com/{key}"


if __name__ == "__main__":
    sys.stdout.write(upload(Path(sys.argv[1]), sys.argv[2]) + "\n")
