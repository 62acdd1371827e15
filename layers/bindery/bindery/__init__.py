"""Bindery's shared layer: the door, the dialects, the rules and the DynamoDB room."""
