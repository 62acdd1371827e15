#!/usr/bin/env bash
# Clients in the style of shell scripts: curl fails for any status of 400 or more, and sed reads members from the text.
set -euo pipefail

ask() { curl -sS --fail --max-time 30 "$@"; }
member() { sed -nE "s/.*\"$1\":\"([^\"]+)\".*/\1/p" | grep .; }

rufus() {
	local id
	id=$(ask -H "api_key: $RUFUS_API_KEY" -d '{"model": "Client", "serial_number": "CURL-1"}' "$HOST/v0//devices" | member deviceid)
	ask -H "api_key: $RUFUS_API_KEY" "$HOST/v0/devices/$id" | grep -q '"serial_number":"CURL-1"'
	ask -H "api_key: $RUFUS_API_KEY" "$HOST/v0/devices/?limit=100" | grep -q "\"deviceid\":\"$id\""
	ask -X DELETE -H "api_key: $RUFUS_UNBIND_KEY" "$HOST/v0/devices/$id/" | grep -q '"description"'
}

quectel() {
	local random=ABCDEFGH01234567 key iv pwd signature token dk
	key=$(printf %s "$random" | openssl md5 -r | cut -c9-24 | tr a-z A-Z)
	iv=${key:8}${key:0:8}
	pwd=$(printf %s "$QUECTEL_PASSWORD" | openssl enc -aes-128-cbc -base64 -A -K "$(hex "$key")" -iv "$(hex "$iv")")
	signature=$(printf %s "$QUECTEL_EMAIL$pwd$random$QUECTEL_DOMAIN_SECRET" | openssl sha256 -r | cut -d' ' -f1)
	token=$(ask --data-urlencode "email=$QUECTEL_EMAIL" --data-urlencode "pwd=$pwd" -d "random=$random&userDomain=$QUECTEL_USER_DOMAIN" \
		-d "signature=$signature" "$HOST/v2/enduser/enduserapi//emailPwdLogin" | sed -nE 's/.*"accessToken":\{"token":"([^"]+)".*/\1/p')
	dk=$(ask -X POST -H "Authorization: $token" "$HOST/v2/binding/enduserapi/bindDeviceSn?pk=$QUECTEL_PK&sn=$QUECTEL_SN" | member dk)
	ask -H "Authorization: $token" "$HOST/v2/binding/enduserapi/userDeviceList/" | grep -q "\"deviceKey\":\"$dk\""
	ask -X DELETE -H "Authorization: $token" "$HOST/v2/binding/enduserapi/unbundlingDeviceDk?pk=$QUECTEL_PK&dk=$dk" | grep -q '"code":200'
}

hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }

remoteit() {
	local token proxy connection
	developer() { ask -H "developerkey:$REMOTEIT_DEVELOPER_KEY" "$@"; }
	token=$(developer -d "{\"username\":\"$REMOTEIT_USERNAME\",\"password\":\"$REMOTEIT_PASSWORD\"}" "$HOST/apv/v27/user/login" | member auth_token)
	developer -H "token:$token" "$HOST/apv/v27//device/list/all/" | grep -q "\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\""
	proxy=$(developer -H "token:$token" -d "{\"wait\":\"true\",\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\"}" "$HOST/apv/v27/device/connect/")
	printf %s "$proxy" | grep -qE '"proxy":"https?://[^"]+"'
	connection=$(printf %s "$proxy" | sed -nE 's/.*"status":"true","connectionid":"([^"]+)".*/\1/p')
	developer -H "token:$token" -d "{\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\",\"connectionid\":\"$connection\"}" \
		"$HOST/apv/v27/device/connect/stop" | grep -q '"status":"true"'
}

asseco() {
	local id=352099001761481
	customer() { ask -H "Authorization: bearer $ASSECO_TOKEN" "$@"; }
	customer -d "{\"external-device-identifier\":\"$id\",\"operating-system\":\"iOS\",\"nickname\":\"N\",\"brand-name\":\"B\",\"model-name\":\"M\"}" \
		"$HOST/v1/device/owned-devices/" | grep -q "\"id\":\"$id\""
	customer "$HOST/v1/device/owned-devices" | grep -q "\"imei\":\"$id\""
	customer -X POST "$HOST/v1/device//owned-devices/$id/unregister"
}

vodlix() {
	local mac=AABBCCDDEE03
	ask -F mac_address=$mac -F device_os=iOS -F device_version=14 -F device_type=Mobile -F app_version=2 -F app_name=A "$HOST/api/v2/device" | grep -q "\"mac_address\":\"$mac\""
	ask -d "mac_address=$mac" "$HOST/api/v2//device_check" | grep -q '"ban_status":0'
	ask "$HOST/api/base/configs/" | grep -q '"device_management":1'
}

"$1"
