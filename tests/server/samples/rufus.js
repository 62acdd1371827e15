fetch("https://api.runonrufus.com/v0/devices", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "api_key": "ror-ae4fc6c19681a20fad30",
    },
    body: JSON.stringify({"model": "Model X1", "serial_number":"DEVICE-123"}),
  })
    .then((response) => console.log(response))
    .catch((error) => console.error(error));
