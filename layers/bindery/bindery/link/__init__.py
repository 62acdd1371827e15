"""The device link: the WebSocket connections of devices."""
