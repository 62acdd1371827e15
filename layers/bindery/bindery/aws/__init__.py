"""AWS clients and DynamoDB."""
