curl -X POST \
     -H "token:$REMOTEIT_TOKEN" \
     -H "developerkey:$REMOTEIT_DEVELOPER_KEY" \
     -d '{"wait":"true","deviceaddress":"'$REMOTEIT_DEVICE_ADDRESS'"}' \
     https://api.remot3.it/apv/v27/device/connect

