#!/usr/bin/env bash
# Clients in the style of shell scripts: curl fails for any status of 400 or more, and sed reads members from the text.
set -euo pipefail

ask() { curl -sS --fail --max-time 120 "$@"; }
member() { sed -nE "s/.*\"$1\":\"([^\"]+)\".*/\1/p" | grep .; }
bom() { printf '\xef\xbb\xbf%s' "$1"; }

rufus() {
	local id session now
	company() { ask -H "api_key: $RUFUS_API_KEY" "$@"; }
	id=$(bom '{"model": "Client", "serial_number": "CURL-1"}' | company --data-binary @- "$HOST/v0//devices" | member deviceid)
	company "$HOST/v0/devices/$id" | grep -q '"serial_number":"CURL-1"'
	company "$HOST/v0/devices/?limit=100" | grep -q "\"deviceid\":\"$id\""
	session=$(company -d "{\"deviceid\": \"$id\", \"alias\": \"\"}" "$HOST/v0/sessions/" | member token_session)
	now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	company -d "{\"token_session\": \"$session\", \"passings_list\": [{\"timestamp\": \"$now\", \"num_passing\": 1, \"bib\": \"12\"}]}" \
		"$HOST/v0/passings" | grep -q '"description":"Passings inserted succesfully"'
	ask -X DELETE -H "api_key: $RUFUS_UNBIND_KEY" "$HOST/v0/devices/$id/" | grep -q '"description"'
}

quectel() {
	local random=ABCDEFGH01234567 key iv pwd signature token dk
	user() { ask -H "Authorization: $token" "$@"; }
	access() { sed -nE 's/.*"accessToken":\{"token":"([^"]+)".*/\1/p' | grep .; }
	key=$(printf %s "$random" | openssl md5 -r | cut -c9-24 | tr a-z A-Z)
	iv=${key:8}${key:0:8}
	pwd=$(printf %s "$QUECTEL_PASSWORD" | openssl enc -aes-128-cbc -base64 -A -K "$(hex "$key")" -iv "$(hex "$iv")")
	signature=$(printf %s "$QUECTEL_EMAIL$pwd$random$QUECTEL_DOMAIN_SECRET" | openssl sha256 -r | cut -d' ' -f1)
	token=$(ask --data-urlencode "email=$QUECTEL_EMAIL" --data-urlencode "pwd=$pwd" -d "random=$random&userDomain=$QUECTEL_USER_DOMAIN" \
		-d "signature=$signature" "$HOST/v2/enduser/enduserapi//emailPwdLogin" | access)
	token=$(user -X PUT -H 'Content-Length: 0' "$HOST/v2/enduser/enduserapi/refreshToken" | access)
	dk=$(user -X POST "$HOST/v2/binding/enduserapi/bindDeviceSn?pk=$QUECTEL_PK&sn=$QUECTEL_SN" | member dk)
	user "$HOST/v2/binding/enduserapi/userDeviceList/" | grep -q "\"deviceKey\":\"$dk\""
	user "$HOST/v2/binding/enduserapi/getDeviceOnlineStatus?pk=$QUECTEL_PK&dk=$dk" | grep -q '"value":0'
	user -X PUT "$HOST/v2/quecauth/enduserapi/neverHeardOf" | grep -q '"code":404'
	user -X DELETE "$HOST/v2/binding/enduserapi/unbundlingDeviceDk?pk=$QUECTEL_PK&dk=$dk" | grep -q '"code":200'
}

hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }

remoteit() {
	local api="$HOST/apv/v23.5" token authhash answer connection wait
	local name="\"username\":\"$REMOTEIT_USERNAME\""
	developer() { ask -H "developerkey:$REMOTEIT_DEVELOPER_KEY" "$@"; }
	user() { developer -H "token:$token" "$@"; }
	authhash=$(developer -d "{$name,\"password\":\"$REMOTEIT_PASSWORD\"}" "$api/user/login" | member service_authhash)
	token=$(developer -d "{$name,\"authhash\":\"$authhash\"}" "$api/user/login/authhash" | member auth_token)
	user "$api//device/list/all/" | grep -q "\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\""
	for wait in '"true"' true 1 '"1"' '"false "' false 0 '"0"'; do
		answer=$(user -d "{\"wait\":$wait,\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\"}" "$api/device/connect/")
		printf %s "$answer" | member proxy | grep -qE '^https?://'
		connection=$(printf %s "$answer" | sed -nE 's/.*"status":"true","connectionid":"([^"]+)".*/\1/p')
		user -d "{\"deviceaddress\":\"$REMOTEIT_DEVICE_ADDRESS\",\"connectionid\":\"$connection\"}" \
			"$api/device/connect/stop" | grep -q '"status":"true"'
	done
	user -X POST "$api/user/logout" | grep -q '"status":"true"'
	! user "$api/device/list/all" 2>/dev/null
}

asseco() {
	local id=352099001761481
	customer() { ask -H "Authorization: bearer $ASSECO_TOKEN_OTHER" "$@"; }
	customer -d "{\"external-device-identifier\":\"$id\",\"operating-system\":\"iOS\",\"nickname\":\"N\",\"brand-name\":\"B\",\"model-name\":\"M\"}" \
		"$HOST/v1/device/owned-devices/" | grep -q "\"id\":\"$id\""
	customer "$HOST/v1/device/owned-devices" | grep -q "\"imei\":\"$id\""
	customer "$HOST/v1/device/classifications/device-statuses/" | grep -q '"literal":"blocked"'
	customer -X POST "$HOST/v1/device/owned-devices/$id//block" -o /dev/null -w '%{http_code}' | grep -q 204
	customer -X POST "$HOST/v1/device//owned-devices/$id/unregister"
}

vodlix() {
	local mac=AABBCCDDEE03
	ask -F mac_address=$mac -F device_os=iOS -F device_version=14 -F device_type=Mobile -F app_version=2 -F app_name=A "$HOST/api/v2/device" | grep -q "\"mac_address\":\"$mac\""
	ask -d "mac_address=$mac" "$HOST/api/v2//device_check" | grep -q '"ban_status":0'
	bom "{\"mac_address\":\"$mac\",\"current_screen\":\"home\"}" | ask --data-binary @- "$HOST/api/v2/device_activity" | grep -q '"message":"Success"'
	ask "$HOST/api/base/configs/" | grep -q '"device_management":1'
}

"$1"
