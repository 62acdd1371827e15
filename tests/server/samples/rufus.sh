curl -X POST \
-H "Content-Type: application/json" \
-H "api_key: ror-ae4fc6c19681a20fad30" \
-d '{"model": "Model X1", "serial_number":"DEVICE-123"}' \
https://api.runonrufus.com/v0/devices
